"""The document's layer and networks equal PyTorch's: outputs and all gradients."""

from collections.abc import Callable

import pytest

from conformance import ledger
from conformance.conftest import BACKENDS, end, label, labels, note, repeat
from conformance.networks import Network, judge_network, networks_up_to, separation
from conformance.tolerance import NETWORK_SEPARATION
from impls.backend import Backend
from impls.spec.case import CORE


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per backend, network and data."""
    cases = [
        pytest.param(spec, network, filling, id=f"{name}-{network.name}-{filling}")
        for spec, name in labels(metafunc.config.stash[BACKENDS]).items()
        for network, filling in networks_up_to(metafunc.config.getoption("--level"))
    ]
    metafunc.parametrize("spec, network, filling", cases)


@pytest.fixture
def conform(spec: str, request: pytest.FixtureRequest) -> Callable[[Network, str], None]:
    """Judge a network: note the verdict in the ledger, then pass, skip or fail the test."""

    def conform(network: Network, filling: str) -> None:
        backend = request.config.stash[BACKENDS][spec]
        assert isinstance(backend, Backend)
        if filling == "real":
            assert separation(network, filling) > NETWORK_SEPARATION
        verdict = judge_network(backend, network, filling)
        again = repeat(spec, request)
        asked = {
            **ledger.LOADS,
            "op": network.name,
            "level": CORE,
            "kind": "networks",
            "aspect": filling,
            "dtype": "float64",
            "why": "the document's own, with all gradients",
            "accuracy": backend.accuracy,
        }
        note(request, ledger.row(label(request, spec), asked, verdict, again))
        end(verdict, again)

    return conform


@pytest.mark.core
def test_networks(conform: Callable[[Network, str], None], network: Network, filling: str) -> None:
    conform(network, filling)
