"""ResNet-20 for images of 32 x 32 pixels (He et al., Deep Residual Learning for Image Recognition,
2016, section 4.2, shortcuts of kind A), with random weights."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions, and a shortcut without weights."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, (outputs - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = x[:, :, :: self.stride, :: self.stride]
            x = nn.functional.pad(x, (0, 0, 0, 0, self.more, self.more))
        return torch.relu(y + x)


def resnet20() -> nn.Module:
    """The module; every batch normalisation has statistics of its own."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    width = 16
    for outputs in (16, 32, 64):
        for _ in range(3):
            layers.append(Block(width, outputs, 2 if outputs != width else 1))
            width = outputs
    module = nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return module.eval()
