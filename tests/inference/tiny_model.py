"""Makes a tiny Paddle model whose P(someone) is the mean of the patch's red channel in [0, 1].

`python tiny_model.py FOLDER`; with FLAGS_enable_pir_api=0 in the environment it is a legacy one.
"""

from __future__ import annotations

import sys
import warnings

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import paddle  # noqa: E402


class MeanRed(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.blur = paddle.nn.Conv2D(3, 3, 1, bias_attr=False)
        self.blur.weight.set_value(np.eye(3, dtype=np.float32)[:, :, None, None])
        self.pool = paddle.nn.AdaptiveAvgPool2D(1)
        self.fc = paddle.nn.Linear(3, 2)
        weight = np.zeros((3, 2), np.float32)
        weight[0] = -0.229, 0.229
        self.fc.weight.set_value(weight)
        self.fc.bias.set_value(np.array([1 - 0.485, 0.485], np.float32))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.pool(self.blur(x)).flatten(1))


def main(folder: str, classes: int = 2, side: int = 224) -> None:
    network = MeanRed()
    if classes != 2:
        network.fc = paddle.nn.Linear(3, classes)
    if side != 224:  # and takes no other size
        network = paddle.nn.Sequential(
            paddle.nn.Flatten(), paddle.nn.Linear(3 * side * side, classes), paddle.nn.Softmax()
        )
    network.eval()
    spec = paddle.static.InputSpec([None, 3, side, side], "float32", name="x")
    static = paddle.jit.to_static(network, input_spec=[spec], full_graph=True)
    paddle.jit.save(static, f"{folder}/inference")


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
