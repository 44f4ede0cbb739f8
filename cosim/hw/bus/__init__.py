"""The bus: `bus` is the address map, `port` the way of an initiator onto it, `nowhere` what answers elsewhere."""
