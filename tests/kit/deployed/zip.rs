//! What a function's program is uploaded in.

/// A zip file of one executable, not compressed (APPNOTE.TXT sections 4.3.7, 4.3.12, 4.3.16).
pub(super) fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let size = u32::try_from(content.len()).expect("a small file");
    let length = u16::try_from(name.len()).expect("a short name");
    // From "version needed" to the length of the extra field: the same in both headers.
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    for number in [crc.sum(), size, size] {
        common.extend(number.to_le_bytes());
    }
    common.extend(length.to_le_bytes());
    common.extend([0, 0]);
    let local = [b"PK\x03\x04", &common[..], name.as_bytes(), content].concat();
    // Made on Unix: the upper half of the external attributes is the file's mode.
    let mode = (0o100_755_u32 << 16).to_le_bytes();
    let central = [b"PK\x01\x02\x14\x03", &common[..], &[0; 6], &mode, &[0; 4], name.as_bytes()].concat();
    let at = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small file").to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &at(&central)[..], &at(&local), &[0, 0]].concat();
    [local, central, end].concat()
}
