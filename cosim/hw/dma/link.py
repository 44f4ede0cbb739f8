"""The link between a device and the IO bridge."""

from __future__ import annotations

from cosim.hw.dma.options import DeviceOptions
from cosim.sim.server import Server, Service


class Link:
    """Both directions between a device and the IO bridge: each takes a hop, and carries one packet at a time."""

    def __init__(self, options: DeviceOptions) -> None:
        self._bandwidth, self._header, self._hop_ps = options.bandwidth, options.header, options.link
        self.up, self.down = (Server(0, "link", latency_ps=options.link, wait_part="link_wait") for _ in range(2))

    def send(self, way: Server, data: int) -> Server | Service:
        """What a routine yields to get a packet with `data` bytes of payload across."""
        if self._bandwidth is None:
            return way
        transfer = self._bandwidth.transfer_ps(self._header + data)
        return way.taking(transfer, transfer + self._hop_ps)
