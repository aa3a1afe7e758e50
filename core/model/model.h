// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/column_importance.h"
#include "core/model/decoder_settings.h"
#include "core/model/known_inputs.h"
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
    /// What schemes that can be weighed are weighed by; null where nothing is known. No reader gives it.
    ColumnImportancePointer importance {};
    /// What algorithms that need calibration go by; null where nothing is known. No reader gives it.
    KnownInputsPointer inputs {};
    /// A constant that no layer multiplies with, where the file tells what computes with each: never quantized.
    bool auxiliary = false;

    std::uint64_t parameters() const { return view.elements(); }
    std::uint64_t bytes() const { return view.byteSize(); }
    /// How its weights are stored: the packing, else the dtype's name.
    std::string storedAs() const { return packing().empty() ? std::string(nameOf(view.dtype)) : packing(); }
    /// How a packed weight is stored, "GPTQ int4:g128:asym"; empty: as the dtype says.
    std::string packing() const { return view.decoder ? view.decoder->description() : std::string(); }
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
    /// The file says what computes with its tensors: views have their order from there, nothing is guessed from names.
    bool operatorsKnown = false;
    /// XXH3-128 over names, dtypes, shapes and a sample of the tensors' bytes: the same for copies of one model,
    /// whole or in shards, found without reading the whole.
    std::string fingerprint;

    std::uint64_t parameters() const;  ///< of all tensors; tied tensors counted once
    std::uint64_t bytes() const;       ///< of all tensors as stored; what several share counted once
    /// Index of the tensor with this exact name.
    std::optional<std::size_t> find(std::string_view name) const;
    /// Indices of all tensors that quantizable() holds for, in file order.
    std::vector<std::size_t> quantizableTensors() const;
};

using ModelPointer = std::shared_ptr<const Model>;

}  // namespace quantloupe
