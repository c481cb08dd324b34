import pytest

from polytask import Task
from polytask.errors import SettingError
from polytask.tasks import KINDS, LOSSES, METRICS, check_unique


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_losses_and_metrics(kind):
    task = Task("t", kind)
    assert task.loss_name == LOSSES[kind][0]
    assert task.metrics == METRICS[kind][:1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": ""}, "non-empty"),
        ({"name": "t", "kind": "regresion"}, "kind must be one of"),
        ({"name": "t", "kind": "binary", "loss": "squared_error"}, "loss of a binary task"),
        ({"name": "t", "kind": "regression", "metric": ("r2", "auc")}, "metric of a regression task"),
        ({"name": "t", "weight": 0.0}, "weight must be positive"),
        ({"name": "t", "kind": "counts", "soft": True}, "soft=True"),
        ({"name": "t", "kind": "multiclass", "soft": True}, "needs classes"),
        ({"name": "t", "kind": "regression", "class_weight": "balanced"}, "class_weight"),
    ],
)
def test_wrong_settings_are_named(arguments, says):
    with pytest.raises(SettingError, match=says):
        Task(**arguments)


def test_round_trip_through_plain_data():
    task = Task("t", "multiclass", metric=("accuracy", "log_loss"), classes=("a", "b", "c"), weight=2.0)
    assert Task(**task.to_dict()) == task


def test_two_tasks_of_one_name_are_refused():
    with pytest.raises(SettingError, match="'a'"):
        check_unique([Task("a"), Task("a")])
