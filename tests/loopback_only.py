"""A start-up script of IPython that cuts the kernel off the network: loopback stays, all else is refused.

An audit hook sees the sockets of every library, and a notebook cannot take it out again. Jupyter's own
channels (ZeroMQ) are not Python sockets and go on working.
"""


# IPython runs this in the notebook's own namespace: whatever stayed there would hide a forgotten import.
def _cut():
    import ipaddress
    import sys

    def is_loopback(host):
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if host in (None, "", "localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def refuse(event, args):
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            # The address of a Unix socket is a path; that of a connected datagram socket is missing.
            host = args[1][0] if isinstance(args[1], tuple) else None
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            host = args[0]
        else:
            return
        if not is_loopback(host):
            raise OSError(f"the network is cut off in this test: {event} to {host!r} refused")

    sys.addaudithook(refuse)


_cut()
del _cut
