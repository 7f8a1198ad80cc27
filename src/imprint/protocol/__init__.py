"""What a station and an authority say to each other: intentions in, answers out. Never a raw signature.

``intentions`` holds the requests, ``answers`` the replies, ``port`` the one interface behind which an authority sits,
in this process or over a wire.
"""
