import pytest
import torch
from torch import nn

from sepcli.networks import sepreformer
from sepcli.networks.sepreformer import Config

NARROW = Config(filters=6, channels=8, stages=2, heads=2, farthest=5, local_kernel=5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"kernel_size": 10, "stride": 4}, "stride must divide kernel_size: 4, 10"),
        ({"channels": 30, "heads": 4}, "multiple of heads: 30"),
        ({"local_kernel": 64}, "must be odd"),
        ({"stages": 0}, "1 or more"),
    ],
)
def test_config_says_what_does_not_fit(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**sizes)


@torch.inference_mode()
def test_distances_beyond_the_farthest_are_alike() -> None:
    positions = sepreformer.RelativePositions(3, farthest=2)(6)
    assert positions.shape == (6, 6, 3)
    assert torch.equal(positions[0, 2], positions[1, 5])  # both 2 or more to the right
    assert not torch.equal(positions[0, 1], positions[0, 2])
    assert torch.equal(positions[2, 0], positions[5, 0])  # 2 or more to the left


@torch.inference_mode()
def test_attention_without_positions_is_torchs() -> None:
    ours = sepreformer.Attention(NARROW)
    ours.Layer_scale.layer_scale.fill_(1.0)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    maps = (ours.linear_q, ours.linear_k, ours.linear_v)
    theirs.in_proj_weight.copy_(torch.cat([each.weight for each in maps]))
    theirs.in_proj_bias.copy_(torch.cat([each.bias for each in maps]))
    theirs.out_proj.load_state_dict(ours.linear_out.state_dict())
    features = torch.randn(3, 7, 8)
    normed = ours.layer_norm(features)
    torch.testing.assert_close(ours(features), theirs(normed, normed, normed)[0])


@torch.inference_mode()
def test_speakers_see_each_other_frame_by_frame() -> None:
    block = sepreformer.SpeakerBlock(NARROW).eval()
    nn.init.ones_(block.self_attn.Layer_scale.layer_scale)
    streams = torch.randn(4, 9, 8)  # two rows of two speakers
    changed = streams.clone()
    changed[1, 6] = torch.randn(8)
    moved = (block(streams) - block(changed)).abs().amax(-1) > 1e-6
    assert moved[0].tolist() == [frame == 6 for frame in range(9)]  # the other speaker of the row
    assert not moved[2:].any()


def test_a_new_block_is_an_identity() -> None:
    block, features = sepreformer.LocalBlock(NARROW).eval(), torch.randn(2, 11, 8)
    torch.testing.assert_close(block(features), features, rtol=0, atol=1e-3)
