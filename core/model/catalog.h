// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/model.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

/// What a model is made of, without its bytes: what studies store, and what plans, projections, allocations and
/// exports are computed from, so that none of them needs the checkpoint.
struct CatalogTensor {
    std::string name;
    NameParts parts;
    DType dtype = DType::F32;  ///< of a packed weight that of its codes
    std::string packing {};    ///< how a packed weight is stored, "GPTQ int4:g128:asym"; empty: as the dtype says
    Shape shape;
    MatrixShape matrix;
    std::uint64_t bytes = 0;
    bool quantizable = false;

    std::uint64_t parameters() const { return elementCount(shape).value_or(0); }
    /// How its weights are stored: the packing, else the dtype's name.
    std::string storedAs() const { return packing.empty() ? std::string(nameOf(dtype)) : packing; }
    /// As stored: scales, zero points and padding included. NaN of an empty tensor.
    double bitsPerWeight() const;
    bool operator==(const CatalogTensor&) const = default;
};

struct ModelCatalog {
    std::string fingerprint;
    std::string path;  ///< UTF-8, as the user named it
    std::string format;
    NamingWorld naming = NamingWorld::HuggingFace;
    bool synthetic = false;
    ModelConfig config;
    std::vector<CatalogTensor> tensors;  ///< in file order
    std::vector<std::string> warnings;

    std::uint64_t parameters() const;
    std::uint64_t bytes() const;
    std::optional<std::size_t> find(std::string_view name) const;
    bool operator==(const ModelCatalog&) const = default;
};

ModelCatalog catalogOf(const Model& model);

}  // namespace quantloupe
