// SPDX-License-Identifier: GPL-3.0-or-later
// What a product of integers is made of: sums for a few tokens and one panel of weights.
#pragma once

#include "core/kernels/integer_panels.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quantloupe::kernels {

/// Some steps of inputs, the same for all tokens. Sums start from what is there, or from nothing.
struct TileWork {
    const std::uint8_t* panel = nullptr;        ///< codes of the first step
    const std::int32_t* activations = nullptr;  ///< of the first tile
    std::size_t tokenSize = 0;                  ///< a tile of n tokens takes n·tokenSize numbers
    std::size_t firstStep = 0;
    std::size_t steps = 0;
    bool continues = false;
    std::int32_t* sums = nullptr;  ///< [tokens × PanelShape::outputsPerPanel]
};

/// Σ code·activation by one way of multiplying bytes. Tiles are as many tokens as fit, the last may have fewer. A
/// tile's activations are, step by step and quad by quad, those of each token in turn: as four bytes, or as four words
/// in the order of inputs 0, 2, 1, 3.
struct TileKernel {
    std::string_view name {};
    std::size_t tokens = 0;  ///< of a tile, at most
    bool words = false;
    void (*sum)(std::size_t tokens, TileWork work) = nullptr;

    /// 32-bit numbers of a token's inputs.
    std::size_t tokenSize(const PanelShape& shape) const { return shape.stepsPerRow() * stepSize(); }
    std::size_t stepSize() const { return words ? 4 : 2; }
};

/// By the instructions of the other kernels (see simd_target.h).
TileKernel tilesOfTarget(CodeWidth width);
/// By VNNI, which sums four products of bytes at once; without it the same loops, the instruction emulated.
TileKernel tilesOfQuads(CodeWidth width);
bool hasVnni();

/// The quickest on this processor.
TileKernel bestTiles(CodeWidth width);

}  // namespace quantloupe::kernels
