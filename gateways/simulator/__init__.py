"""A simulated supply chain: what its loggers measured, what its gateways sent, and what really happened.

`thermal` is the physics, `places` the kinds of place with what happens there in a day, `recorder` what a probe makes
of it. `fleet` says which kits are where, `incidents` what goes wrong, `delivery` what the gateways make of the
recordings. `traffic` puts these together for a fleet of any size, `demo_day` scripts one day by hand. Everything is
drawn from numpy Generators that a seed fixes: the same seed gives the same bytes.
"""
