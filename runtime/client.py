"""The Temporal client: one way to connect, for workers, commands and tests alike.

Payloads travel as pydantic models. The identity is a random code: it stands in every history for ever, so
it must not say who or which machine it was.
"""

import secrets

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig

from runtime.endpoints import Endpoints, running_endpoints
from settings import Settings, external_temporal_address


class NotRunning(Exception):  # noqa: N818 - named by what happened, as a person reads it
    """No Temporal server answers. The text says where and what to do."""


def _identity() -> str:
    return f"dunlin-{secrets.token_hex(4)}"


async def connect(settings: Settings, endpoints: Endpoints | None = None) -> Client:
    """Connect to the running server: the endpoints given, Temporal's environment, or the state folder's.

    Raises NotRunning in one line for people, SettingsError when Temporal's profile cannot be read.
    """
    external = external_temporal_address()
    if external and (endpoints is None or endpoints.temporal_address == external):
        profile = ClientConfig.load_client_connect_config()
        try:
            return await Client.connect(**profile, data_converter=pydantic_data_converter, identity=_identity())
        except (RuntimeError, OSError) as error:
            raise NotRunning(_no_answer(external)) from error
    where = endpoints or running_endpoints(settings)
    if where is None:
        raise NotRunning(
            f"Nothing runs in {settings.state_folder}: run `starter.py up` there, or set TEMPORAL_ADDRESS."
        )
    try:
        return await Client.connect(
            where.temporal_address,
            namespace=where.namespace,
            data_converter=pydantic_data_converter,
            identity=_identity(),
        )
    except (RuntimeError, OSError) as error:
        raise NotRunning(_no_answer(where.temporal_address)) from error


def _no_answer(address: str) -> str:
    return f"No Temporal server answers at {address}: start it, or set TEMPORAL_ADDRESS to another."
