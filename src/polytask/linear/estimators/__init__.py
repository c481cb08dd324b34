"""The estimators, a file for each model of the literature, and the bases that several of them share."""
