"""The document's layer and networks equal PyTorch's: outputs and all gradients."""

from collections.abc import Callable

import pytest

from conformance import ledger
from conformance.conftest import BACKENDS, asked, labels, settle
from conformance.networks import Network, judge_network, networks_up_to, separation
from conformance.tolerance import NETWORK_SEPARATION
from impls.backend import Backend


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per backend, network and data."""
    cases = [
        pytest.param(spec, network, filling, id=f"{name}-{network.name}-{filling}")
        for spec, name in labels(metafunc.config.stash[BACKENDS]).items()
        for network, filling in networks_up_to(*asked(metafunc.config))
    ]
    metafunc.parametrize("spec, network, filling", cases)


@pytest.fixture
def conform(spec: str, request: pytest.FixtureRequest) -> Callable[[Network, str], None]:
    """Judge a network and settle its verdict."""

    def conform(network: Network, filling: str) -> None:
        backend = request.config.stash[BACKENDS][spec]
        assert isinstance(backend, Backend)
        if filling == "real":
            assert separation(network, filling) > NETWORK_SEPARATION
        row = ledger.asked_of_network(network, filling, backend)
        settle(request, spec, row, judge_network(backend, network, filling))

    return conform


@pytest.mark.core
def test_networks(conform: Callable[[Network, str], None], network: Network, filling: str) -> None:
    conform(network, filling)
