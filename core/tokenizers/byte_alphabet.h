// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// The bytes that a piece of a byte-level vocabulary stands for, such as " the" for "Ġthe": each character of the
/// alphabet is one byte. nullopt when another character occurs. Source: GPT-2, encoder.py.
std::optional<std::string> bytesOfAlphabet(std::string_view spelled);

/// The other way round: a character of the alphabet for each byte.
std::string alphabetOfBytes(std::string_view bytes);

}  // namespace quantloupe
