#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""KVM learns from the PF's IOMMU that all DMA of a vdev is coherent."""

import sys

import coherency

sys.exit(coherency.main(enforced=True))
