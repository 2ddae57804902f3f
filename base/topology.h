/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base/topology.h - how processors are numbered: the core's number below, the socket's above, the core's in
 * as many bits as the largest needs (SDM 3A, 9.9).  With three cores in a socket, numbers 3, 7, 11 ... are
 * nobody's.
 */
#ifndef SERAI_BASE_TOPOLOGY_H
#define SERAI_BASE_TOPOLOGY_H

/* Bits of an APIC ID below the socket's number. */
static inline unsigned topology_core_bits(unsigned cores_per_socket)
{
	unsigned bits = 0;

	while ((1u << bits) < cores_per_socket)
		bits++;
	return bits;
}

static inline unsigned topology_apic_id(unsigned index, unsigned cores_per_socket)
{
	unsigned cores = cores_per_socket ? cores_per_socket : 1;

	return index / cores << topology_core_bits(cores) | index % cores;
}

#endif
