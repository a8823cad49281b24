"""Training of separators: speech, mixtures, loss, loop; nothing on the separation path imports it.

recipe.py   what to train, on what, how long: a TOML file, checked
speech.py   folders, manifests and packs of single-speaker speech, decoded once
packing.py  many recordings in one small file
mixing.py   random mixtures, a function of (seed, step)
loading.py  batches made ahead in a thread
loss.py     negative SI-SDR of the best order, clamped
loop.py     steps, measurements, checkpoints; on Lightning Fabric
results.py  the model folder, the log and its curve
"""
