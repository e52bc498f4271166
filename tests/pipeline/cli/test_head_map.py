from types import SimpleNamespace

from savs.pipeline.cli.head_map import heat_map
from savs.stores import LayerGrid


def test_a_head_is_the_darker_the_more_tasks_chose_it():
    # of four tasks, head (0, 0) was chosen by all, (0, 1) by one, (2, 1) by two, others by none
    tasks = [[(0, 0), (0, 1)], [(0, 0)], [(0, 0), (2, 1)], [(0, 0), (2, 1)]]
    selection = SimpleNamespace(tasks=[SimpleNamespace(heads=heads) for heads in tasks])
    grid = (LayerGrid(0, (0, 1, 2), 4), LayerGrid(2, (1,), 4))
    assert heat_map(selection, grid)[1:] == ["L0    ██░░", "L2    ··▒▒··"]
