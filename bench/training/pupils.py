"""What is trained: the document's SimpleCNN on a backend, and the same network in PyTorch."""

from operator import attrgetter
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray

from bench.training.digits import MOMENTUM, SEED
from conformance.networks import NETWORKS
from impls.backend import Backend
from impls.layers import SimpleCNN, sgd_step, softmax_cross_entropy

SIMPLE_CNN = next(network for network in NETWORKS if network.name == "SimpleCNN")


class Pupil(Protocol):
    """A network that learns; images come in its own dtype."""

    def step(self, images: ndarray, labels: ndarray, learning_rate: float) -> float:
        """The loss of a batch, before one step down its gradient."""

    def logits(self, images: ndarray) -> ndarray:
        """(N, 10): the largest says which digit."""


class BackendPupil:
    """SimpleCNN over a backend."""

    def __init__(self, backend: Backend, dtype: str) -> None:
        self.network = SimpleCNN(backend=backend, dtype=dtype, seed=SEED)
        self.velocities = [np.zeros_like(values) for values, _ in self.network.parameters()]

    def step(self, images: ndarray, labels: ndarray, learning_rate: float) -> float:
        loss, grad_logits = softmax_cross_entropy(self.network.forward(images), labels)
        self.network.backward(grad_logits)
        sgd_step(self.network.parameters(), self.velocities, learning_rate, MOMENTUM)
        return loss

    def logits(self, images: ndarray) -> ndarray:
        return self.network.forward(images)


class TorchPupil:
    """The network that conformance judges SimpleCNN by, from SimpleCNN's first weights."""

    def __init__(self, dtype: str) -> None:
        start = SimpleCNN(dtype=dtype, seed=SEED)
        self.parameters = {
            name: torch.tensor(attrgetter(name)(start), requires_grad=True)
            for name in SIMPLE_CNN.parameters
        }
        self.optimizer = torch.optim.SGD(self.parameters.values(), momentum=MOMENTUM)

    def step(self, images: ndarray, labels: ndarray, learning_rate: float) -> float:
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.zero_grad()
        logits = SIMPLE_CNN.pytorch(F, torch.from_numpy(images), self.parameters)
        loss = F.cross_entropy(logits, torch.from_numpy(labels))
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def logits(self, images: ndarray) -> ndarray:
        with torch.inference_mode():
            logits = SIMPLE_CNN.pytorch(F, torch.from_numpy(images), self.parameters)
        found: ndarray = logits.numpy()
        return found
