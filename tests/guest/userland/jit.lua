-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Small programs with known results for a compiler at run time; jit.js has the same ones.
local bit = require("bit")
local band, bxor, rshift, tobit = bit.band, bit.bxor, bit.rshift, bit.tobit

local function sieve(limit)
  local composite, count = {}, 0
  for i = 2, limit do
    if not composite[i] then
      count = count + 1
      for j = i * i, limit, i do composite[j] = true end
    end
  end
  return count
end

local function queens(n)
  local function place(row, columns, left, right)
    if row == n then return 1 end
    local found = 0
    for column = 0, n - 1 do
      local place_bit = 2 ^ column
      if band(columns, place_bit) == 0 and band(left, place_bit) == 0 and band(right, place_bit) == 0 then
        found = found + place(row + 1, columns + place_bit, rshift(left + place_bit, 1), (right + place_bit) * 2)
      end
    end
    return found
  end
  return place(0, 0, 0, 0)
end

local function fannkuch(n)
  local p, q, s, sign, most, sum = {}, {}, {}, 1, 0, 0
  for i = 1, n do p[i], q[i], s[i] = i, i, i end
  while true do
    local q0 = p[1]
    if q0 ~= 1 then
      for i = 2, n do q[i] = p[i] end
      local flips = 1
      while q[q0] ~= 1 do
        local next_first = q[q0]
        q[q0] = q0
        local i, j = 2, q0 - 1
        while i < j do
          q[i], q[j] = q[j], q[i]
          i, j = i + 1, j - 1
        end
        q0 = next_first
        flips = flips + 1
      end
      sum = sum + sign * flips
      if flips > most then most = flips end
    end
    if sign == 1 then
      p[1], p[2] = p[2], p[1]
      sign = -1
    else
      p[2], p[3] = p[3], p[2]
      sign = 1
      for i = 3, n do
        if s[i] ~= 1 then
          s[i] = s[i] - 1
          break
        end
        if i == n then return sum * 1000 + most end
        s[i] = i
        local first = p[1]
        for j = 1, i do p[j] = p[j + 1] end
        p[i + 1] = first
      end
    end
  end
end

local function spectral(n)
  local function element(i, j) return 1 / ((i + j) * (i + j + 1) / 2 + i + 1) end
  local function multiply(v, transposed)
    local result = {}
    for i = 0, n - 1 do
      local sum = 0
      for j = 0, n - 1 do sum = sum + (transposed and element(j, i) or element(i, j)) * v[j] end
      result[i] = sum
    end
    return result
  end
  local u, v = {}, nil
  for i = 0, n - 1 do u[i] = 1 end
  for _ = 1, 10 do
    v = multiply(multiply(u, false), true)
    u = multiply(multiply(v, false), true)
  end
  local uv, vv = 0, 0
  for i = 0, n - 1 do uv, vv = uv + u[i] * v[i], vv + v[i] * v[i] end
  return string.format("%.9f", math.sqrt(uv / vv))
end

local function mandelbrot(n)
  local inside = 0
  for y = 0, n - 1 do
    for x = 0, n - 1 do
      local cr, ci, zr, zi, steps = 2 * x / n - 1.5, 2 * y / n - 1, 0, 0, 0
      while steps < 50 and zr * zr + zi * zi < 4 do
        zr, zi = zr * zr - zi * zi + cr, 2 * zr * zi + ci
        steps = steps + 1
      end
      if steps == 50 then inside = inside + 1 end
    end
  end
  return inside
end

local function trees(depth)
  local function grow(d) return d == 0 and {} or { grow(d - 1), grow(d - 1) } end
  local function count(tree) return tree[1] and 1 + count(tree[1]) + count(tree[2]) or 1 end
  local sum = 0
  for _ = 1, 10 do sum = sum + count(grow(depth)) end
  return sum
end

local function crc(times)
  local text, sum = "123456789", 0
  for _ = 1, times do
    local value = tobit(-1)
    for i = 1, #text do
      value = bxor(value, text:byte(i))
      for _ = 1, 8 do
        value = bxor(rshift(value, 1), band(value, 1) == 1 and tobit(0xedb88320) or 0)
      end
    end
    sum = bxor(value, -1)
  end
  return bit.tohex(sum)
end

local function collatz(limit)
  local best, longest = 0, 0
  for start = 1, limit do
    local n, steps = start, 0
    while n ~= 1 do
      n = n % 2 == 0 and n / 2 or 3 * n + 1
      steps = steps + 1
    end
    if steps > longest then best, longest = start, steps end
  end
  return best
end

local function words(count)
  local seen, sum = {}, 0
  for i = 1, count do
    local word = ("w" .. i % 1000):rep(2, "-"):upper()
    seen[word] = (seen[word] or 0) + 1
  end
  for word, times in pairs(seen) do sum = sum + #word * times end
  return sum
end

local function fibonacci(n) return n < 2 and n or fibonacci(n - 1) + fibonacci(n - 2) end

-- Integers of the C type, through LuaJIT's own calls into C.
local function foreign(count)
  local ffi = require("ffi")
  ffi.cdef("typedef struct { uint32_t low; int64_t high; double real; } mixed; int abs(int);")
  local array = ffi.new("mixed[?]", 100)
  local sum = 0LL
  for i = 0, count - 1 do
    local one = array[i % 100]
    one.low = one.low + 0x80000001
    one.high = one.high * 3 + ffi.C.abs(-i)
    one.real = one.real + 0.5
  end
  for i = 0, 99 do sum = sum + array[i].low + array[i].high % 1000003 + array[i].real end
  return tostring(sum)
end

local failed = 0
local function known(name, have, want)
  if tostring(have) ~= want then
    print(("%s: is %s, should be %s"):format(name, tostring(have), want))
    failed = failed + 1
  end
end

known("sieve", sieve(1000000), "78498")
known("queens", queens(8), "92")
known("fannkuch", fannkuch(9), "8629030")
known("spectral", spectral(100), "1.274219991")
known("mandelbrot", mandelbrot(200), "15909")
known("trees", trees(12), "81910")
known("crc", crc(2000), "cbf43926")
known("collatz", collatz(100000), "77031")
known("words", words(50000), "439000")
known("fibonacci", fibonacci(25), "75025")
known("foreign", foreign(50000), "1315901LL")
print(failed .. " failed")
os.exit(failed == 0 and 0 or 1)
