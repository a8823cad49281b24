"""Training of separators: speech, mixtures, loss, loop; nothing on the separation path imports it.

recipe.py      what to train, on what, how long: a TOML file, checked; recipes/ holds ours
dataset.py     folders, manifests and packs of single-speaker speech, decoded once
decoded.py     decoded speech, kept for the next start
pack.py        many recordings in one small file
simulate.py    random mixtures of training, a function of (seed, step)
mixtures.py    mixtures and conversations of `sepcli mix`, to be written to disk
effects.py     what recordings go through: telephone, clipping, hum, rumble, coding
loader.py      batches made ahead in a thread
setup.py       a recipe made ready to run: speech, development mixtures, network
loss.py        negative SNR of the best order, with a threshold, defined for silence
optimiser.py   AdamW, muon.py for matrices, the learning rate over the steps
precision.py   which number format is fast on a machine
loop.py        steps, measurements, checkpoints; on Lightning Fabric
checkpoint.py  a run's state in one file
launch.py      from a recipe to a model folder
export.py      the model folder, the log and its curve
"""
