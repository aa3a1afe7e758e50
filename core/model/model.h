// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/decoder_settings.h"
#include "core/model/tensor_role.h"
#include "core/tensor/tensor_view.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe {

/// One named tensor of a checkpoint. Says where it lies; touches no byte of it.
struct ModelTensor {
    std::string name;  ///< as in the file
    TensorView view;
    NameParts parts;           ///< role, block, expert, fused group
    std::uint32_t file = 0;    ///< index into Model::files
    std::uint64_t offset = 0;  ///< first byte, from the start of that file

    std::uint64_t parameters() const { return view.elements(); }
    std::uint64_t bytes() const { return view.byteSize(); }
    /// A decodable weight matrix: rank ≥ 2, at least one element, not a norm, position table or bias.
    bool quantizable() const;
};

/// The figures of the architecture, from config.json or GGUF metadata. Absent where the model does not say.
struct ModelConfig {
    std::string architecture;  ///< config.json's model_type or GGUF's general.architecture, e.g. "llama"
    std::optional<std::uint64_t> hiddenSize, layers, heads, keyValueHeads, headDimension, intermediateSize, vocabulary,
        contextLength, experts, expertsPerToken, slidingWindow;
    bool tiedEmbeddings = false;

    bool operator==(const ModelConfig&) const = default;
};

/// An opened checkpoint: immutable, shared, valid as long as anyone holds it.
struct Model {
    std::filesystem::path path;  ///< what the user named
    std::string format;          ///< "safetensors", "gguf"
    NamingWorld naming = NamingWorld::HuggingFace;
    ModelConfig config;
    DecoderSettings settings;                                   ///< what a forward pass needs beyond `config`
    std::vector<std::pair<std::string, std::string>> metadata;  ///< in file order, values shortened for display
    std::vector<std::filesystem::path> files;
    std::vector<ModelTensor> tensors;   ///< in file order
    std::vector<std::string> warnings;  ///< plain sentences
    bool synthetic = false;             ///< metadata says that a generator made it
    /// XXH3-128 over names, dtypes, shapes and a sample of the tensors' bytes: the same for copies of one model,
    /// whole or in shards, found without reading the whole.
    std::string fingerprint;

    std::uint64_t parameters() const;  ///< of all tensors; tied tensors counted once
    std::uint64_t bytes() const;       ///< of all tensors as stored
    /// Index of the tensor with this exact name.
    std::optional<std::size_t> find(std::string_view name) const;
    /// Indices of all tensors that quantizable() holds for, in file order.
    std::vector<std::size_t> quantizableTensors() const;
};

using ModelPointer = std::shared_ptr<const Model>;

}  // namespace quantloupe
