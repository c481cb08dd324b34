"""Running a comparison: units of work, in parallel, within a budget, resumable."""
