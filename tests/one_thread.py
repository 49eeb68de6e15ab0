"""A fixture for tests of equal bits: with several threads a sum may be split otherwise from one run to the next."""

import pytest
import torch


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
