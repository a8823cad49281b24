"""Separate a folder of recordings on a Ray cluster: files, and a row a speaker in Parquet.

    pip install '.[ray]' && python examples/ray_folder.py RECORDINGS OUTPUT [MODEL]

Both folders are seen from every node. A bucket is read with `ray.data.read_audio("s3://…")` in
place of paths: rows then hold the waveforms.
"""

import sys
from pathlib import Path

import ray

from sepcli.audio import find_audio_files
from sepcli.models.registry import DEFAULT_MODEL
from sepcli.ray import Separate


def main(recordings: str, output: str, model: str = DEFAULT_MODEL) -> None:
    folder, clean = Path(recordings).resolve(), Path(output).resolve()
    num_nodes, num_processors = len(ray.nodes()), int(ray.cluster_resources()["CPU"])
    paths = find_audio_files(folder, recursive=True)
    rows = ray.data.from_items(
        [{"audio_filepath": str(path)} for path in paths],
        override_num_blocks=max(len(paths) // 4, 1),  # what is done again where a node dies
    ).map_batches(
        Separate,
        fn_constructor_args=[model],
        fn_constructor_kwargs={"output_dir": clean, "root": folder},
        batch_size=4,
        concurrency=(num_nodes, max(num_nodes, num_processors // 2)),
        num_cpus=1,  # or num_gpus=1
    )
    rows.write_parquet(str(clean / "rows"))


if __name__ == "__main__":
    ray.init()
    main(*sys.argv[1:])
