"""Convolutional networks of many layer types."""

import torch.nn.functional as F
from torch import Tensor, nn


class CNN(nn.Module):
    """Depthwise and transposed convolution, group and instance norm, PReLU, upsampling, 1d."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.group = nn.GroupNorm(2, width)
        self.elu = nn.ELU()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.instance = nn.InstanceNorm2d(width, affine=True)
        self.hardswish = nn.Hardswish()
        self.avg = nn.AvgPool2d(3, 2, padding=1)
        self.up = nn.ConvTranspose2d(width, width, 2, 2)
        self.prelu = nn.PReLU(width)
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv1d(width, width, 3)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.elu(self.group(self.conv1(x)))
        x = self.hardswish(self.instance(self.pointwise(self.depthwise(x))))
        x = self.prelu(self.up(self.avg(x)))
        x = F.softplus(self.pool(self.larger(x)))
        x = F.mish(self.conv2(F.relu6(x.flatten(2))))
        return self.head(x.mean(-1))


class LeNet(nn.Module):
    """Strided convolution, average and max pooling, flatten, linear."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 2, 1)
        self.act1 = nn.LeakyReLU(0.1)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, 1, 1)
        self.act2 = nn.GELU()
        self.pool2 = nn.MaxPool2d(2)
        self.flat = nn.Flatten()
        self.fc1 = nn.Linear(8 * width, 8 * width)
        self.act3 = nn.Sigmoid()
        self.drop = nn.Dropout(0.3)
        self.fc2 = nn.Linear(8 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.act1(self.conv1(x)))
        x = self.pool2(self.act2(self.conv2(x)))
        return self.fc2(self.drop(self.act3(self.fc1(self.flat(x)))))


class TCN(nn.Module):
    """Dilated 1d convolutions with residuals, for sequences (batch, time, features)."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.inner = nn.Conv1d(features, width, 1)
        self.layers = nn.ModuleList(TemporalBlock(width, 2**i) for i in range(2))
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x.transpose(1, 2))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).amax(-1))


class TemporalBlock(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.act = nn.SiLU()
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.act(self.conv(x)))
