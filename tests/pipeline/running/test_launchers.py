import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.running.launchers import ALONE, Rank, find_rank

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "7",
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,3",
}
BATCH = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
ARRAY = {
    "SLURM_ARRAY_TASK_ID": "14",
    "SLURM_ARRAY_TASK_MIN": "10",
    "SLURM_ARRAY_TASK_MAX": "16",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "4",
}
PLACES = {
    "nothing": ({}, ALONE),
    "torchrun": (TORCHRUN, Rank(5, 8, 1, 4, "torchrun")),
    "torchrun in srun": (SRUN | TORCHRUN, Rank(5, 8, 1, 4, "torchrun")),
    "a cluster of torchrun's form without local numbers": (
        {"RANK": "1", "WORLD_SIZE": "2"},
        Rank(1, 2, 0, 1, "torchrun"),
    ),
    "mpirun": (
        {
            "OMPI_COMM_WORLD_RANK": "3",
            "OMPI_COMM_WORLD_SIZE": "4",
            "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        },
        Rank(3, 4, 1, 2, "mpirun"),
    ),
    "MPICH": ({"PMI_RANK": "3", "PMI_SIZE": "4"}, Rank(3, 4, 0, 1, "MPI")),
    "srun": (SRUN, Rank(5, 7, 1, 3, "SLURM")),
    "srun with its PMI plugin": (
        SRUN | {"PMI_RANK": "5", "PMI_SIZE": "7"},
        Rank(5, 7, 1, 3, "SLURM"),
    ),
    "MPICH of another size than the step of srun": (
        SRUN | {"PMI_RANK": "5", "PMI_SIZE": "9"},
        Rank(5, 9, 0, 1, "MPI"),
    ),
    "MPICH whose rank is that of its step by chance, and another step": (
        SRUN | {"PMI_RANK": "4", "PMI_SIZE": "7"},
        Rank(4, 7, 0, 1, "MPI"),
    ),
    "MPICH whose proxies srun started": (
        SRUN | {"PMI_RANK": "5", "PMI_SIZE": "7", "MPI_LOCALRANKID": "2", "MPI_LOCALNRANKS": "4"},
        Rank(5, 7, 2, 4, "MPI"),
    ),
    "srun on equal nodes": (
        SRUN | {"SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_NODEID": "1"},
        Rank(5, 7, 1, 4, "SLURM"),
    ),
    "srun on nodes of which some are equal": (
        SRUN | {"SLURM_STEP_TASKS_PER_NODE": "4(x2),3", "SLURM_NODEID": "2"},
        Rank(5, 7, 1, 3, "SLURM"),
    ),
    "srun without the tasks of this node": (
        SRUN | {"SLURM_STEP_TASKS_PER_NODE": "x,4(y)"},
        Rank(5, 7, 1, 2, "SLURM"),
    ),
    "a job script without srun": (BATCH, ALONE),
    "an array": (BATCH | ARRAY, Rank(2, 4, 0, 1, "SLURM")),
    "an array of srun": (SRUN | ARRAY, Rank(2 * 7 + 5, 4 * 7, 1, 3, "SLURM")),
    "an array that is a list": (
        ARRAY | {"SLURM_ARRAY_TASK_STEP": "1", "SLURM_ARRAY_TASK_ID": "16"},
        Rank(6 % 4, 4, 0, 1, "SLURM"),
    ),
}
WRONG = {
    "a rank alone": ({"RANK": "1"}, "RANK is set and WORLD_SIZE is not; unset the variables"),
    "a world alone": ({"WORLD_SIZE": "1"}, "WORLD_SIZE is set and RANK is not"),
    "a rank beyond": (TORCHRUN | {"RANK": "8"}, "RANK is 8, expected less than WORLD_SIZE, 8"),
    "a word": (TORCHRUN | {"RANK": "-1"}, "RANK is '-1', expected a number from 0 on"),
    "a local rank beyond": (
        TORCHRUN | {"LOCAL_RANK": "4"},
        "LOCAL_RANK is 4, expected less than LOCAL_WORLD_SIZE, 4",
    ),
    "more here than anywhere": (
        TORCHRUN | {"LOCAL_WORLD_SIZE": "16"},
        "LOCAL_WORLD_SIZE is 16, more than WORLD_SIZE, 8",
    ),
    "a task beyond": (
        SRUN | {"SLURM_PROCID": "7"},
        "SLURM_PROCID is 7, expected less than SLURM_STEP_NUM_TASKS, 7",
    ),
    "an id below": (
        ARRAY | {"SLURM_ARRAY_TASK_ID": "9"},
        "SLURM_ARRAY_TASK_ID is 9, below SLURM_ARRAY_TASK_MIN, 10",
    ),
}


@pytest.mark.parametrize(("environ", "rank"), PLACES.values(), ids=PLACES.keys())
def test_ranks_of_launchers(environ, rank) -> None:
    assert find_rank(environ) == rank


@pytest.mark.parametrize(("environ", "message"), WRONG.values(), ids=WRONG.keys())
def test_variables_that_contradict_each_other_are_refused(environ, message) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        find_rank(environ)
