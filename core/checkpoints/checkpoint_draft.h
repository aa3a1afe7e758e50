// SPDX-License-Identifier: GPL-3.0-or-later
// A checkpoint that is planned to the last byte before the first is written.
#pragma once

#include "core/model/model.h"
#include "core/number_formats/quantized_tensor.h"
#include "core/recipes/plan.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// A tensor of the files to come.
struct StoredTensor {
    std::string name;
    DType dtype = DType::F32;
    Shape shape {};
    std::uint64_t bytes = 0;
};

/// Takes bytes of stored tensors in any order, from several threads at once.
class RegionWriter
{
public:
    virtual ~RegionWriter() = default;
    /// `offset` counts from the first byte of the stored tensor.
    virtual void write(std::size_t stored, std::uint64_t offset, Bytes bytes) = 0;
};

/// Turns rows into the bytes of one or several stored tensors.
using RowPacker = std::function<void(const QuantizedRows& rows, RegionWriter& out)>;

/// Where the weights of a tensor are found again when the checkpoint is read.
struct ReadBack {
    std::string name;
    std::uint64_t firstRow = 0;
    /// Of each row its place behind firstRow; empty: in order.
    std::vector<std::uint64_t> rows {};
};

/// What becomes of one tensor of the model.
struct DraftTensor {
    std::size_t source = 0;  ///< index into Model::tensors
    /// As it is written, plain floats included; absent: its bytes are copied to the stored tensor `copy`.
    std::optional<Scheme> scheme {};
    std::size_t copy = 0;
    bool needsCodes = true;  ///< values alone will not do
    RowPacker pack {};
    std::uint64_t rowAlignment = 1;    ///< rows are packed in multiples of so many
    std::optional<DType> rounding {};  ///< F16 or BF16: values are rounded to it before they are packed
    float added = 0.0F;                ///< to each value: Gemma's norms in GGUF hold 1 more
    ReadBack readBack {};
};

/// Something that will not be as the recipe says.
struct TensorChange {
    std::string tensor;
    std::string wanted;   ///< scheme of the recipe; "as stored"
    std::string written;  ///< what is written instead
    std::string reason;   ///< a clause
    bool operator==(const TensorChange&) const = default;
};

struct LiteralBytes {
    std::uint64_t offset = 0;
    std::string bytes;
};

/// One file with everything in it but the stored tensors.
struct DraftFile {
    std::string name;  ///< within the folder; empty where the checkpoint is one file
    std::uint64_t size = 0;
    std::vector<LiteralBytes> literals {};
};

struct StoredPlace {
    std::size_t file = 0;
    std::uint64_t offset = 0;  ///< from the start of the file
};

struct CheckpointDraft {
    ModelPointer model;
    bool folder = false;
    bool readable = true;  ///< our own reader reads it again
    std::vector<DraftTensor> tensors {};
    std::vector<StoredTensor> stored {};
    std::vector<StoredPlace> places {};  ///< of each stored tensor
    std::vector<DraftFile> files {};
    std::vector<std::filesystem::path> copies {};  ///< files that are copied into the folder under their own names
    std::vector<TensorChange> changes {};
    std::vector<std::string> warnings {};  ///< plain sentences

    std::uint64_t bytes() const;  ///< of all files
};

}  // namespace quantloupe
