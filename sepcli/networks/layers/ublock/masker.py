"""The frame around a U block that TDANet and S4M share."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers.ublock.block import UBlock
from sepcli.networks.layers.ublock.parts import MakeNorm, child, normalise, pointwise, rectify
from sepcli.networks.layers.ublock.tiled import Tiled


class Refinement(nn.Module):
    """One U block applied again and again, the input mixed back in before each time."""

    def __init__(self, unet: UBlock, channels: int, repeats: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.unet = unet
        self.concat_block = nn.Sequential(
            nn.Conv1d(channels, channels, 1, groups=channels), nn.PReLU()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the refined features, `[row, time, channel]`."""
        frames = features.shape[1]
        prepared = self.unet.prepare(self.unet.coarse_frames(frames))
        if torch.is_grad_enabled() or features.device.type != "cpu" or len(self.unet.spp_dw) < 3:
            return self.repeat(features, lambda mixed: self.unet(mixed, prepared))
        tiled = Tiled(self.unet, frames, prepared)
        return torch.stack([self.repeat(row, tiled) for row in features])

    def repeat(self, features: Tensor, block: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the features after all repeats of the block."""
        mix, act = child(self.concat_block, 0, nn.Conv1d), child(self.concat_block, 1, nn.PReLU)
        assert mix.bias is not None
        weight = mix.weight.flatten()
        refined = block(features)
        for _ in range(self.repeats - 1):
            total = refined.add_(features)  # nobody else needs what the block returned
            out = None if torch.is_grad_enabled() else total
            mixed = torch.addcmul(mix.bias, total, weight, out=out)
            refined = block(rectify(mixed, act))
        return refined


class RecurrentMasker(nn.Module):
    """Encoder, one recurrent U block, masks, decoder: TDANet's and S4M's frame (figure 1)."""

    def __init__(
        self,
        unet: UBlock,
        *,
        num_speakers: int,
        window: int,
        channels: int,
        repeats: int,
        norm: MakeNorm,
    ) -> None:
        """Build the network around `unet`.

        Args:
            unet: The block that is applied again and again.
            num_speakers: Number of estimates.
            window: Encoder window, four times its stride [samples].
            channels: Channels outside of the block.
            repeats: Times the block is applied.
            norm: Makes the normalisation of the encoder's output.
        """
        super().__init__()
        self.window, self.stride = window, window // 4
        self.num_speakers = num_speakers
        filters = window // 2 + 1
        stride, pad = self.stride, window // 2
        self.encoder = nn.Conv1d(1, filters, window, stride, pad, bias=False)
        self.ln = norm(filters)
        self.bottleneck = nn.Conv1d(filters, channels, 1)
        self.sm = Refinement(unet, channels, repeats)
        self.mask_net = nn.Sequential(
            nn.PReLU(), nn.Conv1d(channels, num_speakers * filters, 1), nn.ReLU()
        )
        self.decoder = nn.ConvTranspose1d(
            num_speakers * filters, num_speakers, window, stride, pad, bias=False
        )
        nn.init.xavier_uniform_(self.encoder.weight)
        nn.init.xavier_uniform_(self.decoder.weight)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        # B batch, F frames, N filters, C channels, S speakers
        time, margin = mixture.shape[1], self.window - self.stride
        rest = self.window - (self.stride + time % self.window) % self.window
        padded = F.pad(mixture, (margin, rest + margin)).unsqueeze(1)
        encoded = self.encoder(padded).transpose(1, 2).contiguous()  # [B, F, N]
        features = pointwise(normalise(encoded, self.ln), self.bottleneck)  # [B, F, C]
        act, to_masks = child(self.mask_net, 0, nn.PReLU), child(self.mask_net, 1, nn.Conv1d)
        refined = rectify(self.sm(features), act)
        masks = pointwise(refined, to_masks).relu()  # [B, F, S * N]
        speakers = masks.reshape(*masks.shape[:2], self.num_speakers, -1)
        masked = (speakers * encoded.unsqueeze(2)).flatten(2)
        # Every estimate is decoded from all speakers' masked features, as published.
        estimates: Tensor = self.decoder(masked.transpose(1, 2))
        return estimates[:, :, margin : margin + time]
