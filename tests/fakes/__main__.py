"""Run the fake as a process of its own: `python -m tests.fakes --port 4020`. Ends with Ctrl-C or SIGTERM.

The first line on standard output is JSON with everything an application needs to use it.
"""

import argparse
import json
import sys

from tests.fakes.server import FakeServer
from tests.fakes.state import Config


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port on loopback; 0 takes a free one")
    parser.add_argument("--seed", default="1", help="same seed, same ids and same chance")
    parser.add_argument("--event-url", help="where batches of e-mail events go")
    parser.add_argument("--message-url", help="where texts from people go")
    parser.add_argument("--deliver-to", nargs=2, action="append", default=[], metavar=("PUBLIC", "LOCAL"))
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between two steps of a message")
    parser.add_argument("--manual", action="store_true", help="nothing happens unless the admin interface says so")
    options = parser.parse_args()
    config = Config(
        seed=options.seed,
        auto=not options.manual,
        pace=options.pace,
        event_url=options.event_url,
        message_url=options.message_url,
    )
    server = FakeServer(config, port=options.port)
    server.state.courier.deliver_to.update({public: local for public, local in options.deliver_to})  # noqa: C416
    ready = {
        "url": server.url,
        "account_sid": config.account_sid,
        "auth_token": config.auth_token,
        "api_key": config.api_key,
        "webhook_key": server.state.key.public,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    try:
        server.serve()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


if __name__ == "__main__":
    main()
