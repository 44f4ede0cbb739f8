"""The link between a device and the IO bridge."""

from __future__ import annotations

from cosim.hw.dma.options import DeviceOptions
from cosim.sim.server import Server, Service


class Link:
    """Both directions between a device and the IO bridge: each takes a hop, and carries one packet at a time."""

    def __init__(self, options: DeviceOptions) -> None:
        self.options = options
        self.up, self.down = (Server(0, "link", latency_ps=options.link, wait_part="link_wait") for _ in range(2))

    def send(self, way: Server, data: int) -> Server | Service:
        """What a routine yields to get a packet with `data` bytes of payload across."""
        bandwidth = self.options.bandwidth
        if bandwidth is None:
            return way
        transfer = bandwidth.transfer_ps(self.options.header + data)
        return way.taking(transfer, transfer + self.options.link)
