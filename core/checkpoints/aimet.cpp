// SPDX-License-Identifier: GPL-3.0-or-later
// AIMET's encodings, version 1.0.0: the scales and offsets of every quantized parameter, found from the weights.
// x = (q + offset)·scale with q = 0 … 2^bw − 1. Numbers are as wide as the widest, so that the file's size is known
// before the first is. Source: interop notes on recipes, section 8.2.
#include "core/checkpoints/float_bytes.h"
#include "core/checkpoints/safetensors_folder.h"
#include "core/export_targets/emission.h"

#include <array>
#include <cstdio>

namespace quantloupe::checkpoints {
namespace {

using Kind = Granularity::Kind;

constexpr std::size_t kScaleWidth = 17, kOffsetWidth = 8;  // the comma behind the number included

/// What the packer of one weight must know.
struct Parts {
    std::size_t scales = 0, offsets = 0;
    std::uint64_t perRow = 1, count = 1;
    bool wholeTensor = false;
};

void writeNumbers(const Parts& parts, const QuantizedRows& rows, RegionWriter& out)
{
    if (parts.wholeTensor && rows.firstRow > 0)
        return;
    std::string scales, offsets;
    auto at = parts.wholeTensor ? 0 : rows.firstRow * parts.perRow;
    const auto first = at;
    for (const auto& grid : rows.grids) {
        std::array<char, 40> text {};
        const char separator = ++at == parts.count ? ' ' : ',';
        std::snprintf(text.data(), text.size(), "%16.9e%c", static_cast<double>(grid.scale), separator);
        scales += text.data();
        std::snprintf(text.data(), text.size(), "%7d%c", -static_cast<int>(grid.zero), separator);
        offsets += text.data();
    }
    out.write(parts.scales, first * kScaleWidth, std::as_bytes(std::span<const char>(scales)));
    out.write(parts.offsets, first * kOffsetWidth, std::as_bytes(std::span<const char>(offsets)));
}

Result<void> checkScheme(const std::string& tensor, const Scheme& scheme, std::uint64_t columns)
{
    const auto refuse = [&](const char* why) {
        return failure(ErrorCode::Unsupported, tensor, "AIMET encodings cannot hold " + scheme.toString() + ": " + why);
    };
    if (auto codes = requireCodes(tensor, scheme); !codes)
        return codes;
    if (!isInteger(scheme.format) || codeBits(scheme.format) < 4.0)
        return refuse("they are integers of at least 4 bits");
    if (scheme.symmetry == Symmetry::AsymmetricFloat)
        return refuse("offsets are integers, use asym");
    if (scheme.granularity.kind == Kind::Block)
        return refuse("scales belong to the tensor, channels or groups");
    if (scheme.granularity.kind == Kind::Group && columns % scheme.granularity.columns != 0)
        return refuse("groups must divide the row");
    return {};
}

class EncodingsDrafter
{
public:
    explicit EncodingsDrafter(const CheckpointRequest& request)
        : m_request(request)
    {
        m_draft.model = request.model;
        m_draft.readable = false;
        m_draft.files.emplace_back();
    }

    Result<CheckpointDraft> draft()
    {
        put("{\"version\": \"1.0.0\",\n \"activation_encodings\": [],\n \"param_encodings\": [");
        bool first = true;
        std::optional<Scheme> any;
        for (const auto& planned : m_request.plan.tensors) {
            if (!planned.scheme || isPlainFloat(*planned.scheme))
                continue;
            put(first ? "\n" : ",\n");
            first = false;
            any = planned.scheme;
            if (auto added = add(planned); !added)
                return tl::unexpected(added.error());
        }
        if (!any)
            return failure(ErrorCode::Unsupported, m_request.catalog.path, "the recipe quantizes nothing");
        put("],\n \"excluded_layers\": [],\n \"quantizer_args\": {\"activation_bitwidth\": 16, \"dtype\": \"int\", "
            "\"is_symmetric\": "
            + std::string(any->symmetry == Symmetry::Asymmetric ? "false" : "true")
            + ", \"param_bitwidth\": " + std::to_string(static_cast<int>(codeBits(any->format)))
            + ", \"per_channel_quantization\": " + (any->granularity.kind == Kind::Tensor ? "false" : "true")
            + ", \"quant_scheme\": \"post_training_tf\"}}\n");
        m_draft.files.front().size = m_end;
        return std::move(m_draft);
    }

private:
    void put(std::string text)
    {
        const auto size = text.size();
        m_draft.files.front().literals.push_back({m_end, std::move(text)});
        m_end += size;
    }

    /// Room for `count` numbers, each with its separator.
    std::size_t reserve(const std::string& name, std::uint64_t count, std::size_t width)
    {
        m_draft.stored.push_back({name, DType::U8, {count * width}, count * width});
        m_draft.places.push_back({0, m_end});
        m_end += count * width;
        return m_draft.stored.size() - 1;
    }

    Result<void> add(const PlannedTensor& planned)
    {
        const auto& scheme = *planned.scheme;
        const auto& source = m_request.model->tensors[planned.tensor];
        const auto matrix = matrixShape(source.view);
        if (auto fine = checkScheme(source.name, scheme, matrix.columns); !fine)
            return fine;
        const auto kind = scheme.granularity.kind;
        Parts parts {.perRow = kind == Kind::Group ? matrix.columns / scheme.granularity.columns : 1,
            .wholeTensor = kind == Kind::Tensor};
        parts.count = parts.wholeTensor ? 1 : matrix.rows * parts.perRow;
        put("  {\"name\": " + nlohmann::json(source.name).dump() + ", \"enc_type\": \""
            + (kind == Kind::Tensor       ? "PER_TENSOR"
                    : kind == Kind::Group ? "PER_BLOCK"
                                          : "PER_CHANNEL")
            + "\", \"dtype\": \"INT\", \"bw\": " + std::to_string(static_cast<int>(codeBits(scheme.format)))
            + ", \"is_sym\": " + (scheme.symmetry == Symmetry::Asymmetric ? "false" : "true")
            + (kind == Kind::Group ? ", \"block_size\": " + std::to_string(scheme.granularity.columns) : std::string())
            + ",\n   \"scale\": [");
        parts.scales = reserve(source.name + " scale", parts.count, kScaleWidth);
        put("],\n   \"offset\": [");
        parts.offsets = reserve(source.name + " offset", parts.count, kOffsetWidth);
        put("]}");
        if (planned.activations && m_draft.warnings.empty())
            m_draft.warnings.emplace_back("Encodings of inputs are not written: they need calibration.");
        m_draft.tensors.push_back({.source = planned.tensor,
            .scheme = scheme,
            .pack = [parts](const QuantizedRows& rows, RegionWriter& out) { writeNumbers(parts, rows, out); }});
        return {};
    }

    const CheckpointRequest& m_request;
    std::uint64_t m_end = 0;
    CheckpointDraft m_draft {};
};

Result<CheckpointDraft> draft(const CheckpointRequest& request)
{
    return EncodingsDrafter(request).draft();
}

}  // namespace

extern const CheckpointTarget aimet;
const CheckpointTarget aimet {
    .name = "aimet",
    .title = "AIMET encodings",
    .description =
        "The scales and offsets of every quantized parameter, found from the weights, as AIMET 1.0.0 encodings: "
        "integers of 4 bits and more by tensor, channel or group. No weights.",
    .suffix = ".encodings",
    .draft = &draft,
};

}  // namespace quantloupe::checkpoints
