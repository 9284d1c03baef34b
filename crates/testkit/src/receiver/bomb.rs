//! A real gzip bomb, made by hand: zeros, compressed about a hundred and sixty times.

/// What [`gzip_bomb`] inflates to: one literal zero and then runs of 258.
pub const BOMB_INFLATED_BYTES: u32 = 1 + RUNS * RUN_BYTES;

const RUN_BYTES: u32 = 258;
const RUNS: u32 = 32_768;

/// One block of fixed Huffman codes: the literal 0, then "258 bytes from one byte back" many times.
#[must_use]
pub fn gzip_bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(1, 1); // the last block
    bits.push(0b01, 2); // of fixed codes
    bits.push_code(0b0011_0000, 8); // literal 0
    for _ in 0..RUNS {
        bits.push_code(0b1100_0101, 8); // length 258
        bits.push_code(0, 5); // distance 1
    }
    bits.push_code(0, 7); // end of block
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(bits.bytes());
    gzip.extend(crc32_of_zeros(BOMB_INFLATED_BYTES).to_le_bytes());
    gzip.extend(BOMB_INFLATED_BYTES.to_le_bytes());
    gzip
}

#[derive(Default)]
struct Bits {
    whole: Vec<u8>,
    rest: u32,
    rest_bits: u32,
}

impl Bits {
    /// The lowest bit first.
    fn push(&mut self, value: u32, bits: u32) {
        self.rest |= value << self.rest_bits;
        self.rest_bits += bits;
        while self.rest_bits >= 8 {
            self.whole.push(self.rest as u8);
            self.rest >>= 8;
            self.rest_bits -= 8;
        }
    }

    /// Huffman codes go the highest bit first.
    fn push_code(&mut self, code: u32, bits: u32) {
        self.push(code.reverse_bits() >> (32 - bits), bits);
    }

    fn bytes(mut self) -> Vec<u8> {
        if self.rest_bits > 0 {
            self.whole.push(self.rest as u8);
        }
        self.whole
    }
}

fn crc32_of_zeros(count: u32) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| (0..8).fold(byte, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1))))
        .collect();
    let crc = (0..count).fold(u32::MAX, |crc, _| table[(crc & 0xff) as usize] ^ (crc >> 8));
    !crc
}
