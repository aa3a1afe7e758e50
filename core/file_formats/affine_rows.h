// SPDX-License-Identifier: GPL-3.0-or-later
// Row decoders for weights that a file stores as codes with scales and zero points in tensors of their own, or as plain
// elements in an order of their own.
#pragma once

#include "core/tensor/element_order.h"

#include <cassert>
#include <memory>
#include <optional>
#include <string>

namespace quantloupe {

/// Elements of a decodable dtype one after the other, and what keeps their bytes alive.
struct StoredElements {
    DType dtype = DType::F32;
    Bytes bytes {};
    std::shared_ptr<const void> owner {};
    /// Where they must be unpacked first, instead of `bytes`: that of the view, which whoever decodes it holds.
    std::shared_ptr<const DeferredBytes> deferred {};
};

/// Where elements are while they are decoded. @pre deferred ones are held
struct LocatedElements {
    explicit LocatedElements(const StoredElements& elements)
        : held(elements.deferred ? elements.deferred->held() : nullptr)
        , data(held ? held->bytes().data() : elements.bytes.data())
    {
        assert(!elements.deferred || held);
    }

    HeldBytes held;
    const std::byte* data;
};

/// Where the scale of an element lies. An element's number is (outer·extent + a)·inner + i; the number of its scale is
/// outer·outerStep + a/block·blockStep + i·innerStep. All steps 0: one scale for all.
struct ScaleGrid {
    std::uint64_t extent = 1;  ///< of the axis that blocks divide
    std::uint64_t inner = 1;   ///< elements from one step along that axis to the next
    std::uint64_t block = 1;
    std::uint64_t outerStep = 0, blockStep = 0, innerStep = 0;
    std::uint64_t zeroOuterStep = 0;  ///< outerStep of zero points, whose rows may be filled up to whole bytes

    /// One scale per step along an axis, all else the same.
    static ScaleGrid perAxis(const Shape& shape, std::size_t axis);
    /// One scale per `block` steps along an axis and per element of all others.
    static ScaleGrid blocked(const Shape& shape, std::size_t axis, std::uint64_t block);
};

/// weight = (code − zero point)·scale, computed in float32.
struct AffineWeight {
    ElementOrder order;
    StoredElements codes, scales;
    std::optional<StoredElements> zeroPoints {};
    float zeroPoint = 0.0F;  ///< where there are none stored
    ScaleGrid grid {};
    std::string description {};
};
/// @pre every element, scale and zero point that rows of the order ask for lies inside its bytes
std::shared_ptr<const RowDecoder> affineRows(AffineWeight weight);

/// Plain elements in another order.
std::shared_ptr<const RowDecoder> orderedRows(const ElementOrder& order, StoredElements elements);

}  // namespace quantloupe
