"""Objects one by one: flows and stars, their heads, the weightless method.

Part of the room ``segment``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._distance_watershed import DistanceWatershed
from vesalius.segment._flow_head import FlowHead
from vesalius.segment._instances import predict_instances
from vesalius.segment._star_head import StarHead

__all__ = ["DistanceWatershed", "FlowHead", "StarHead", "predict_instances"]
