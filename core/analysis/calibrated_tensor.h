// SPDX-License-Identifier: GPL-3.0-or-later
// A tensor rounded by what calibration taught about its inputs. For use inside this room.
#pragma once

#include "core/algorithms/weight_transform.h"
#include "core/base/progress_share.h"
#include "core/kernels/unit_grid.h"
#include "core/model/model.h"
#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// All of a tensor under a scheme that needs inputs: its columns are rounded one after the other, each knowing what the
/// ones before it lost, so that no row can be quantized without the whole being known.
struct CalibratedTensor {
    std::vector<float> weights {};               ///< Ŵ, rows × columns, on the weights' own axis
    std::vector<std::uint32_t> codes {};         ///< rows × columns
    std::vector<UnitGrid> grids {};              ///< band by band; empty: a format without
    std::vector<WeightTransform> transforms {};  ///< what was rounded is this of W: one for each slice of rows
    std::uint64_t rowsPerSlice = 0;
    std::vector<float> bias {};  ///< biascorr: what is added to the outputs, one per row; empty: nothing

    bool keepsLevels() const;
    /// The rows as they were rounded: transformed, each by its slice's.
    std::span<const float> source(std::span<const float> rows, std::uint64_t firstRow, std::size_t columns,
        TransformScratch& scratch, std::vector<float>& buffer) const;
};

/// Rounds the tensor, slice by slice; a slice whose inputs nobody saw (an expert that no token was routed to) without
/// the algorithms that need them. In memory are 12 bytes per weight, and the moments of one slice at a time.
/// Errors: Unsupported (a unit of the scheme spans slices), InvalidArgument (as quantizeWithInputs()), Cancelled, those
/// of loading the inputs. @pre tensor.inputs, its bytes are held
Result<std::shared_ptr<const CalibratedTensor>> calibrateTensor(
    const ModelTensor& tensor, const Quantizer& quantizer, std::stop_token stop, const ProgressShare& progress);

}  // namespace quantloupe
