"""GET and PUT /settings: the simulator's settings while it runs."""

import json

from aiohttp import web

from smsqueue.simulator.options import WrongOption
from smsqueue.simulator.world import World


class SettingsDoor:
    """Shows the settings and changes some of them; a wrong one changes nothing."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def get(self, request: web.Request) -> web.Response:
        """All settings."""
        return self._shown()

    async def put(self, request: web.Request) -> web.Response:
        """Change the settings in the JSON body, and show all."""
        try:
            values = json.loads(await request.read())
            if not isinstance(values, dict):
                raise WrongOption("Settings are a JSON object.")
            self._world.change(self._world.options.changed(values))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return self._shown()

    def _shown(self) -> web.Response:
        return web.json_response(self._world.options.shown())
