from pathlib import Path

from sepcli.separation.jobs import Job, job_of, refuse_conflicts, take_shard
from sepcli.separation.naming import Naming


def test_shards_are_disjoint_and_complete() -> None:
    naming = Naming(folder=Path("out"), extension="wav")
    jobs = [job_of(Path(f"in/{number:02}.wav"), naming, Path()) for number in range(10)]
    shards = [take_shard(jobs, index, 3) for index in (1, 2, 3)]
    assert sorted((job for part in shards for job in part), key=_source) == jobs
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def _source(job: Job) -> str:
    return str(job.source)


def test_outputs_are_those_of_names() -> None:
    naming = Naming(folder=Path("out"), extension="wav", names=("alice",))
    job = job_of(Path("in/a.wav"), naming, Path("in"))
    outputs = job.outputs_of(["spk1", "alice"])
    assert [path.name for path in outputs] == ["a_spk1.wav", "a_alice.wav"]
    assert [job.name_of(path) for path in outputs] == ["spk1", "alice"]
    assert job.folder == Path("out/in")


def test_each_of_several_that_would_write_one_file_is_named() -> None:
    naming = Naming(folder=Path("out"), extension="wav")
    jobs = [job_of(Path(f"in{number}/a.wav"), naming, Path()) for number in range(3)]
    kept, failures = refuse_conflicts(jobs, overwrite=False, also_read=[])
    assert kept == []
    pairs = [failure.error.message.partition(": ")[2] for failure in failures]
    first, second, third = (str(job.source) for job in jobs)
    assert pairs == [f"{first} and {second}", f"{first} and {second}", f"{first} and {third}"]
