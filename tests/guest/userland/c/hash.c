/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hash.c - CRC-32, SHA-256 and SipHash-2-4 with published answers. */
#include "check.h"

static uint32_t crc32(const uint8_t *data, size_t size)
{
	uint32_t crc = ~0u;
	while (size--) {
		crc ^= *data++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* The first 32 bits of the fractional part of a prime's root: SHA-256's constants from their definition. */
static uint32_t root_bits(unsigned prime, int power)
{
	uint64_t low = 0, high = 1ull << 36;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		unsigned __int128 raised = (unsigned __int128)middle * middle;
		int above = power == 2 ? raised > (unsigned __int128)prime << 64
				       : raised * middle > (unsigned __int128)prime << 96;
		if (above)
			high = middle;
		else
			low = middle;
	}
	return (uint32_t)low;
}

static uint32_t right(uint32_t value, int n)
{
	return value >> n | value << (32 - n);
}

static void sha256_block(uint32_t h[8], const uint32_t k[64], const uint8_t *block)
{
	uint32_t w[64], s[8];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t t = s[7] + (right(s[4], 6) ^ right(s[4], 11) ^ right(s[4], 25)) +
			     ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
		uint32_t u = (right(s[0], 2) ^ right(s[0], 13) ^ right(s[0], 22)) +
			     ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += t;
		s[0] = t + u;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

/* Of `count` letters a. */
static void sha256(size_t count, uint32_t h[8])
{
	uint32_t k[64];
	unsigned prime = 2;
	for (int found = 0; found < 64; prime++) {
		unsigned factor = 2;
		while (prime % factor)
			factor++;
		if (factor != prime)
			continue;
		if (found < 8)
			h[found] = root_bits(prime, 2);
		k[found++] = root_bits(prime, 3);
	}
	uint8_t block[64];
	memset(block, 'a', sizeof(block));
	for (size_t left = count; left >= 64; left -= 64)
		sha256_block(h, k, block);
	size_t rest = count % 64;
	memset(block + rest, 0, 64 - rest);
	block[rest] = 0x80;
	if (rest >= 56) {
		sha256_block(h, k, block);
		memset(block, 0, sizeof(block));
	}
	for (int i = 0; i < 8; i++)
		block[63 - i] = (uint8_t)((uint64_t)count * 8 >> (8 * i));
	sha256_block(h, k, block);
}

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = ROTATE(v[1], 13) ^ v[0], v[0] = ROTATE(v[0], 32);
	v[2] += v[3], v[3] = ROTATE(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = ROTATE(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = ROTATE(v[1], 17) ^ v[2], v[2] = ROTATE(v[2], 32);
}

/* Of the bytes 0, 1, ... under the key 0, 1, ... 15; whole words and a rest, as in the paper. */
static uint64_t siphash(int size)
{
	uint8_t text[64];
	for (int i = 0; i < 64; i++)
		text[i] = (uint8_t)i;
	uint64_t key[2], v[4], word;
	memcpy(key, text, sizeof(key));
	v[0] = key[0] ^ 0x736f6d6570736575, v[1] = key[1] ^ 0x646f72616e646f6d;
	v[2] = key[0] ^ 0x6c7967656e657261, v[3] = key[1] ^ 0x7465646279746573;
	for (int at = 0; at <= size; at += 8) {
		word = (uint64_t)size << 56;
		memcpy(&word, text + at, size - at < 8 ? size - at : 8);
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void test_hash(void)
{
	CHECK_EQ(crc32((const uint8_t *)"123456789", 9), 0xcbf43926);
	uint32_t h[8];
	sha256(1000000, h);
	CHECK_EQ(h[0], 0xcdc76e5c);
	CHECK_EQ(h[3], 0x84d73e67);
	CHECK_EQ(h[7], 0xc7112cd0);
	sha256(0, h);
	CHECK_EQ(h[0], 0xe3b0c442);
	CHECK_EQ(siphash(15), 0xa129ca6149be45e5);
	CHECK_EQ(digest("foobar", 6), 0x85944171f73967e8);
}
