"""Muon, the optimizer that takes orthogonal steps [Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/], and what lets it share a model with AdamW.

Why orthogonal? The gradient of a matrix is a sum over tokens, and what most tokens agree on drowns
out all else: of its singular values a few are large and the others tiny. A step along it turns the
matrix in those few directions and leaves the rest for later. AdamW evens out the numbers, each by
itself, but a sum of many equal steps can still point one way. Muon evens out the directions: it
keeps the singular vectors of the (averaged) gradient and makes all its singular values about one. A
rare lesson is then learned as fast as a common one, and no vector that meets the matrix is changed
by more than the rate, whatever the width: that is why one rate suits models of all sizes.

It is for matrices that turn vectors into vectors, the ones inside the blocks. A table of tokens is
no such matrix: each of its rows is a vector of its own, and it is AdamW's, like biases and norms.
"""

import torch


def orthogonal(matrix, steps=5, dtype=torch.bfloat16):
    """The same directions at nearly equal strength: for matrix = U S Vᵀ about U Vᵀ, same shape.

    Newton's and Schulz's iteration: x ← a x + (b x xᵀ + c (x xᵀ)²) x makes a s + b s³ + c s⁵ of
    each singular value s at once, with nothing but products. These a, b, c lift small values as
    steeply as can be, and are content with anything between about 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(dtype)
    x = x.T if tall else x  # x xᵀ is the smaller of the two products
    x = x / x.norm().clamp(min=1e-7)  # no singular value above 1, or the iteration runs away
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """`params`: matrices, or groups of them. A step: average the gradients, make the average
    orthogonal, go that way by the rate; `weight_decay` pulls towards zero, as in AdamW.

    parts: how many matrices lie one upon the other in each (3: queries, keys and values); each part
    gets an orthogonal step of its own. lr_scale: the rate is `lr` times this, so that one schedule
    can set `lr` for several optimizers. dtype: of the products; None is bfloat16 on a GPU and
    float32 on a CPU, as many CPUs only imitate bfloat16, twenty times slower.
    """

    def __init__(
        self,
        params,
        lr=0.02,
        momentum=0.95,
        nesterov=True,
        weight_decay=0.0,
        parts=1,
        lr_scale=1.0,
        dtype=None,
    ):
        options = dict(lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        super().__init__(params, options | dict(parts=parts, lr_scale=lr_scale))
        self.dtype = dtype

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self.move(matrix, group)

    def move(self, matrix, group):
        state = self.state[matrix]
        if not state:
            state["average"] = torch.zeros_like(matrix)
        average = state["average"]
        average.lerp_(matrix.grad, 1 - group["momentum"])
        # Nesterov: look ahead to what the average would be if the next gradient were like this one.
        ahead = matrix.grad.lerp(average, group["momentum"]) if group["nesterov"] else average
        dtype = self.dtype or (torch.float32 if matrix.device.type == "cpu" else torch.bfloat16)
        step = torch.cat([orthogonal(part, dtype=dtype) for part in ahead.chunk(group["parts"])])
        # A tall matrix makes long vectors of short ones: each number of theirs still moves by the rate.
        rows, columns = matrix.shape[0] / group["parts"], matrix.shape[1]
        rate = group["lr"] * group["lr_scale"]
        matrix.mul_(1 - rate * group["weight_decay"])
        matrix.add_(step, alpha=-rate * max(1, rows / columns) ** 0.5)


class Together:
    """Several optimizers, each with weights of its own, that look like one."""

    def __init__(self, *optimizers):
        self.optimizers = optimizers

    @property
    def param_groups(self):
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none=True):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def state_dict(self):
        """The state of each, in a list."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states):
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
