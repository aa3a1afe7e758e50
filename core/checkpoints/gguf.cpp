// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF with a type of its own for every tensor: from GGUF with all its metadata, from Hugging Face folders of
// Llama-like models with what config.json and tokenizer.json say. Source: interop notes on checkpoints, section 2, and
// on recipes, section 1.6.
#include "core/base/mapped_file.h"
#include "core/checkpoints/ggml_storage.h"
#include "core/checkpoints/hf_to_gguf.h"
#include "core/export_targets/ggml_types.h"
#include "core/model/rotary_order.h"

#include <algorithm>
#include <map>

namespace quantloupe::checkpoints {
namespace {

/// Where the rows of a source tensor go.
struct Target {
    std::string name;
    std::uint64_t firstRow = 0;
    std::vector<std::uint64_t> places {};
    float added = 0.0F;
};

/// One tensor of the file and the tensors of the model that it is made of: several experts, or one.
struct Assembly {
    std::string name;
    std::vector<std::size_t> sources {};
};

class GgufDrafter
{
public:
    explicit GgufDrafter(const CheckpointRequest& request)
        : m_request(request)
        , m_model(*request.model)
        , m_converts(m_model.naming != NamingWorld::Gguf)
    {
        m_draft.model = request.model;
    }

    Result<CheckpointDraft> draft()
    {
        auto metadata = m_converts ? convertedMetadata() : copiedMetadata();
        if (!metadata)
            return tl::unexpected(metadata.error());
        if (auto named = assemble(); !named)
            return tl::unexpected(named.error());
        for (const auto& assembly : m_assemblies)
            if (auto added = add(assembly); !added)
                return tl::unexpected(added.error());
        const auto divisors = m_converts ? rotaryDivisors(m_model) : std::vector<float>();
        if (!divisors.empty())
            store("rope_freqs.weight", DType::F32, {divisors.size()});
        metadata->set(ggufWhole("general.quantization_version", 2));
        metadata->set(ggufWhole("general.file_type", ggmlFileTypeNumber(mostCommonType())));
        metadata->set(ggufText("general.quantized_by", "Quantloupe"));
        if (auto laidOut = layOutGguf(m_draft, *metadata, m_alignment); !laidOut)
            return tl::unexpected(laidOut.error());
        if (!divisors.empty()) {
            const auto* const bytes = reinterpret_cast<const char*>(divisors.data());
            m_draft.files.front().literals.push_back(
                {m_draft.places.back().offset, std::string(bytes, divisors.size() * sizeof(float))});
        }
        return std::move(m_draft);
    }

private:
    /// All that the source says, but how it was split.
    Result<GgufFields> copiedMetadata()
    {
        const auto file = MappedFile::open(m_model.files.front());
        if (!file)
            return tl::unexpected(file.error());
        const auto header = readGgufHeader((*file)->bytes(), (*file)->path().string());
        if (!header)
            return tl::unexpected(header.error());
        GgufFields fields;
        for (const auto& entry : header->metadata)
            if (!entry.key.starts_with("split."))
                fields.set(ggufCopy(entry));
        if (const auto* alignment = header->find("general.alignment"))
            m_alignment = wholeNumber(*alignment).value_or(m_alignment);
        return fields;
    }

    Result<GgufFields> convertedMetadata()
    {
        auto fields = ggufMetadata(m_model);
        if (fields)
            if (auto tokens = addGgufTokenizer(*fields, m_model, m_draft.warnings); !tokens)
                return tl::unexpected(tokens.error());
        return fields;
    }

    /// Names of the file's tensors in the order of the model's.
    Result<void> assemble()
    {
        std::map<std::string, std::size_t> byName;
        const auto tied = tiedHead(m_request.catalog);
        for (std::size_t i = 0; i < m_model.tensors.size(); ++i) {
            const auto& tensor = m_model.tensors[i];
            if (m_converts && tied == i)
                continue;  // llama.cpp takes the embedding
            const auto name = m_converts ? ggufName(tensor.name, m_model.config.architecture) : tensor.name;
            if (!name) {
                if (tensor.quantizable())
                    return failure(ErrorCode::Unsupported, tensor.name, "has no counterpart in GGUF");
                m_draft.changes.push_back({tensor.name, "as stored", "nothing", "GGUF has no counterpart"});
                continue;
            }
            const auto [entry, added] = byName.try_emplace(*name, m_assemblies.size());
            if (added)
                m_assemblies.push_back({*name, {}});
            m_assemblies[entry->second].sources.push_back(i);
        }
        return {};
    }

    Result<void> add(const Assembly& assembly)
    {
        const auto& first = m_model.tensors[assembly.sources.front()];
        if (assembly.sources.size() == 1 && !first.parts.expert)
            return addOne(assembly.sources.front(), assembly.name);
        return addStack(assembly);
    }

    /// The experts of a block one behind the other.
    Result<void> addStack(const Assembly& assembly)
    {
        const auto& first = m_model.tensors[assembly.sources.front()];
        const auto matrix = matrixShape(first.view);
        std::vector<bool> seen(assembly.sources.size());
        std::optional<GgmlStorage> widest;
        std::size_t decisive = 0;
        for (const auto source : assembly.sources) {
            const auto& tensor = m_model.tensors[source];
            const auto expert = tensor.parts.expert.value_or(~0U);
            if (expert >= seen.size() || seen[expert] || matrixShape(tensor.view) != matrix)
                return failure(ErrorCode::Unsupported, tensor.name, "does not stack with the other experts");
            seen[expert] = true;
            const auto storage = storageOf(source, assembly.name);
            if (!storage)
                return tl::unexpected(storage.error());
            if (!widest || bitsPerElement(storage->type) > bitsPerElement(widest->type)) {
                widest = *storage;
                decisive = source;
            }
        }
        const auto stored = store(assembly.name, widest->type, {seen.size(), matrix.rows, matrix.columns});
        for (const auto source : assembly.sources) {
            const auto& tensor = m_model.tensors[source];
            const auto own = storageOf(source, assembly.name);
            if (own->scheme != widest->scheme)
                note(source, *widest,
                    "GGUF stacks experts, which share a type: that of " + m_model.tensors[decisive].name);
            else
                note(source, *widest, own->reason);
            addRows(source, stored, *widest, {.name = assembly.name, .firstRow = *tensor.parts.expert * matrix.rows});
        }
        return {};
    }

    Result<void> addOne(std::size_t source, const std::string& name)
    {
        const auto& tensor = m_model.tensors[source];
        const auto& planned = m_request.plan.tensors[source];
        const auto& view = tensor.view;
        if (turnsRows(name) && name.ends_with(".bias"))
            return failure(ErrorCode::Unsupported, tensor.name,
                "biases of q and k change their order in GGUF, which is not built: convert it with llama.cpp");
        const bool plain = !view.decoder && !view.deferred && !view.transposed;
        const auto storage = storageOf(source, name);
        if (!storage)
            return tl::unexpected(storage.error());
        const bool asStored = plain && storage->type == view.dtype && !addsOne(name) && placesOf(source, name).empty();
        // What is stored in the type asked for is that type's codes already.
        if (asStored && (!planned.scheme || isBlockType(view.dtype))) {
            const auto stored = store(name, view.dtype, view.shape);
            m_draft.tensors.push_back({.source = source, .copy = stored, .readBack = {.name = name}});
            note(source, *storage, storage->reason);
            return {};
        }
        if (planned.scheme && (isBlockType(view.dtype) || view.decoder) && !m_request.requantize)
            return failure(ErrorCode::Unsupported, tensor.name,
                "is quantized already (" + tensor.storedAs()
                    + "): quantizing it again adds its errors; "
                      "--allow-requantize does so");
        const auto matrix = matrixShape(view);
        auto shape = view.shape;
        if (shape.size() >= 2 && (view.transposed || view.convolution))
            shape = {matrix.rows, matrix.columns};
        const auto stored = store(name, storage->type, std::move(shape));
        note(source, *storage, storage->reason);
        addRows(source, stored, *storage,
            {.name = name, .places = placesOf(source, name), .added = addsOne(name) ? 1.0F : 0.0F});
        return {};
    }

    void addRows(std::size_t source, std::size_t stored, const GgmlStorage& storage, Target target)
    {
        DraftTensor tensor {.source = source, .scheme = storage.scheme, .needsCodes = isBlockType(storage.type)};
        tensor.added = target.added;
        tensor.pack = ggmlPacker(stored, storage, target.firstRow, target.places);
        tensor.readBack = {std::move(target.name), target.firstRow, std::move(target.places)};
        m_draft.tensors.push_back(std::move(tensor));
    }

    /// The type of a tensor, by the recipe and by what llama.cpp takes.
    Result<GgmlStorage> storageOf(std::size_t source, const std::string& name) const
    {
        const auto& tensor = m_model.tensors[source];
        const auto& planned = m_request.plan.tensors[source];
        const auto matrix = matrixShape(tensor.view);
        if (planned.scheme && !ggmlLeavesAlone(name, tensor.view.shape.size(), matrix.rows))
            return ggmlStorageFor(tensor.name, *planned.scheme, matrix.columns);
        auto type = keptType(tensor, name);
        GgmlStorage storage {type, Scheme::of(plainOf(type)), {}};
        if (planned.scheme)
            storage.reason = "llama.cpp wants this tensor unquantized";
        return storage;
    }

    static Format plainOf(DType type)
    {
        return type == DType::F16 ? Format::Fp16 : type == DType::BF16 ? Format::Bf16 : Format::Fp32;
    }

    /// Of what the recipe leaves as it is: of a GGUF file its type, else what llama.cpp's converter makes of it.
    DType keptType(const ModelTensor& tensor, const std::string& name) const
    {
        const auto type = tensor.view.dtype;
        if (!m_converts && !tensor.view.decoder)
            return type;
        if (ggmlLeavesAlone(name, tensor.view.shape.size(), matrixShape(tensor.view).rows))
            return DType::F32;
        if (m_request.floats)
            return *m_request.floats;
        return !tensor.view.decoder && (type == DType::F32 || type == DType::F16) ? type : DType::BF16;
    }

    /// Gemma multiplies by 1 + w: GGUF holds the sum.
    bool addsOne(const std::string& name) const
    {
        return m_converts && m_model.config.architecture.starts_with("gemma") && name.ends_with("norm.weight");
    }

    /// q and k, whose rows have another order in GGUF's llama.
    bool turnsRows(const std::string& name) const
    {
        return m_converts && ggufArchitecture(m_model.config.architecture) == "llama"
            && !m_model.settings.rotaryNeighbours
            && (name.find(".attn_q.") != std::string::npos || name.find(".attn_k.") != std::string::npos);
    }

    /// Of each row its place; empty where the order is that of the model.
    std::vector<std::uint64_t> placesOf(std::size_t source, const std::string& name) const
    {
        if (!turnsRows(name))
            return {};
        const auto& config = m_model.config;
        const auto rows = matrixShape(m_model.tensors[source].view).rows;
        const bool query = name.find(".attn_q.") != std::string::npos;
        const auto heads = query || !config.keyValueHeads ? config.heads : config.keyValueHeads;
        if (!heads || *heads == 0 || rows % *heads != 0 || rows / *heads % 2 != 0)
            return {};
        return rowsInOtherRotaryOrder(rows, rows / *heads, RotaryOrder::Halves);
    }

    std::size_t store(const std::string& name, DType type, Shape shape)
    {
        const auto elements = elementCount(shape).value_or(0);
        m_draft.stored.push_back({name, type, std::move(shape), byteCount(elements, type).value_or(0)});
        return m_draft.stored.size() - 1;
    }

    void note(std::size_t source, const GgmlStorage& storage, const std::string& reason)
    {
        const auto& planned = m_request.plan.tensors[source];
        const auto& name = m_model.tensors[source].name;
        if (!reason.empty())
            m_draft.changes.push_back(
                {name, planned.scheme ? planned.scheme->toString() : "as stored", ggmlTypeName(storage.type), reason});
        if (planned.activations && !m_saidInputs) {
            m_draft.warnings.emplace_back("Schemes of inputs do not travel: llama.cpp chooses how it multiplies.");
            m_saidInputs = true;
        }
    }

    /// The type that holds most weights of matrices.
    DType mostCommonType() const
    {
        std::map<DType, std::uint64_t> elements;
        for (const auto& tensor : m_draft.stored)
            if (tensor.shape.size() >= 2)
                elements[tensor.dtype] += elementCount(tensor.shape).value_or(0);
        const auto most = std::max_element(elements.begin(), elements.end(),
            [](const auto& left, const auto& right) { return left.second < right.second; });
        return most == elements.end() ? DType::F32 : most->first;
    }

    const CheckpointRequest& m_request;
    const Model& m_model;
    bool m_converts;
    bool m_saidInputs = false;
    std::uint64_t m_alignment = 32;
    std::vector<Assembly> m_assemblies {};
    CheckpointDraft m_draft {};
};

Result<CheckpointDraft> draft(const CheckpointRequest& request)
{
    return GgufDrafter(request).draft();
}

}  // namespace

extern const CheckpointTarget gguf;
const CheckpointTarget gguf {
    .name = "gguf",
    .title = "GGUF checkpoint",
    .description =
        "One file for llama.cpp with a type for each tensor: ggml's own formats, and the codes of int4, int5, int7, "
        "int8 "
        "(FP16 scales, groups of whole 32s) and mxfp4. From GGUF with all metadata; from folders of Llama, Mistral, "
        "Mixtral, Qwen2, Qwen3 and Gemma with what config.json and tokenizer.json say.",
    .suffix = ".gguf",
    .draft = &draft,
};

}  // namespace quantloupe::checkpoints
