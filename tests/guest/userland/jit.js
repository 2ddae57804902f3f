// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small programs with known results for a compiler at run time; the first ones are jit.lua's.
'use strict';

function sieve(limit) {
	const composite = new Uint8Array(limit + 1);
	let count = 0;
	for (let i = 2; i <= limit; i++) {
		if (composite[i])
			continue;
		count++;
		for (let j = i * i; j <= limit; j += i)
			composite[j] = 1;
	}
	return count;
}

function queens(n, row = 0, columns = 0, left = 0, right = 0) {
	if (row === n)
		return 1;
	let found = 0;
	for (let free = ~(columns | left | right) & ((1 << n) - 1); free; free &= free - 1) {
		const bit = free & -free;
		found += queens(n, row + 1, columns | bit, (left | bit) >> 1, (right | bit) << 1);
	}
	return found;
}

function spectral(n) {
	const element = (i, j) => 1 / ((i + j) * (i + j + 1) / 2 + i + 1);
	const multiply = (v, at) => v.map((_, i) => v.reduce((sum, x, j) => sum + at(i, j) * x, 0));
	const both = v => multiply(multiply(v, element), (i, j) => element(j, i));
	let u = new Array(n).fill(1), v;
	for (let i = 0; i < 10; i++) {
		v = both(u);
		u = both(v);
	}
	const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
	return Math.sqrt(dot(u, v) / dot(v, v)).toFixed(9);
}

function mandelbrot(n) {
	let inside = 0;
	for (let y = 0; y < n; y++) {
		for (let x = 0; x < n; x++) {
			const cr = 2 * x / n - 1.5, ci = 2 * y / n - 1;
			let zr = 0, zi = 0, steps = 0;
			while (steps < 50 && zr * zr + zi * zi < 4) {
				[zr, zi] = [zr * zr - zi * zi + cr, 2 * zr * zi + ci];
				steps++;
			}
			inside += steps === 50;
		}
	}
	return inside;
}

function trees(depth) {
	const grow = d => d ? { left: grow(d - 1), right: grow(d - 1) } : { left: null, right: null };
	const count = tree => tree.left ? 1 + count(tree.left) + count(tree.right) : 1;
	let sum = 0;
	for (let i = 0; i < 10; i++)
		sum += count(grow(depth));
	return sum;
}

function crc(text, times) {
	let value;
	for (let time = 0; time < times; time++) {
		value = -1;
		for (let i = 0; i < text.length; i++) {
			value ^= text.charCodeAt(i);
			for (let bit = 0; bit < 8; bit++)
				value = value >>> 1 ^ (value & 1 ? 0xedb88320 : 0);
		}
	}
	return (~value >>> 0).toString(16);
}

function collatz(limit) {
	let best = 0, longest = 0;
	for (let start = 1; start <= limit; start++) {
		let steps = 0;
		for (let n = start; n !== 1; n = n % 2 ? 3 * n + 1 : n / 2)
			steps++;
		if (steps > longest)
			[best, longest] = [start, steps];
	}
	return best;
}

function words(count) {
	const seen = new Map();
	for (let i = 1; i <= count; i++) {
		const word = `w${i % 1000}`.toUpperCase();
		seen.set(word + '-' + word, (seen.get(word + '-' + word) || 0) + 1);
	}
	let sum = 0;
	for (const [word, times] of seen)
		sum += word.length * times;
	return sum;
}

function fibonacci(n) {
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

function factorial(n) {
	let product = 1n;
	for (let i = 2n; i <= n; i++)
		product *= i;
	return [...product.toString()].reduce((sum, digit) => sum + Number(digit), 0);
}

// Types that change under the compiler's feet, so that it has to give up what it made.
function changing() {
	const add = (a, b) => a + b;
	let sum = 0;
	for (let i = 0; i < 20000; i++)
		sum = add(sum, i);
	sum = add(sum, 0.5);
	for (let i = 0; i < 20000; i++)
		sum = add(sum, 0.25);
	return add(add(sum, 'x'), [1, 2]);
}

function thrown(times) {
	let caught = 0;
	for (let i = 0; i < times; i++) {
		try {
			if (i % 3 === 0)
				throw new RangeError(String(i));
			null.property;
		} catch (error) {
			caught += error instanceof RangeError ? Number(error.message) : 1;
		}
	}
	return caught;
}

function texts() {
	const rows = Array.from({ length: 2000 }, (_, i) => ({ id: i, name: `name ${i}`, tags: [i % 7, i / 4], none: null }));
	const back = JSON.parse(JSON.stringify(rows));
	const numbers = JSON.stringify(back).match(/(?<="id":)\d+/g).map(Number);
	return numbers.reduce((a, b) => a + b) + back[1999].tags[1];
}

// (func (param i32) (result i32)): the sum of the squares below the parameter, as WebAssembly.
function assembly(n) {
	const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 33,
		1, 31, 1, 1, 127, 3, 64, 32, 0, 65, 1, 107, 34, 0, 32, 0, 108, 32, 1, 106, 33, 1, 32, 0, 65, 0, 74, 13, 0, 11,
		32, 1, 11];
	const instance = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)));
	let result;
	for (let i = 0; i < 1000; i++)
		result = instance.exports.f(n);
	return result;
}

let failed = 0;
function known(name, have, want) {
	if (String(have) === want)
		return;
	console.log(`${name}: is ${have}, should be ${want}`);
	failed++;
}

known('sieve', sieve(1000000), '78498');
known('queens', queens(10), '724');
known('spectral', spectral(100), '1.274219991');
known('mandelbrot', mandelbrot(200), '15909');
known('trees', trees(12), '81910');
known('crc', crc('123456789', 5000), 'cbf43926');
known('collatz', collatz(100000), '77031');
known('words', words(50000), '439000');
known('fibonacci', fibonacci(27), '196418');
known('factorial', factorial(1000n), '10539');
known('changing', changing(), '199995000.5x1,2');
known('thrown', thrown(3000), '1500500');
known('texts', texts(), '1999499.75');
known('assembly', assembly(1000), '332833500');
known('sorted', Array.from({ length: 50000 }, (_, i) => i * 7919 % 50021).sort((a, b) => a - b)[25000], '25009');
console.log(`${failed} failed`);
process.exitCode = failed ? 1 : 0;
