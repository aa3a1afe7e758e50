// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/sample/untrained_model.h"

#include "core/kernels/float_rounding.h"
#include "core/model/model_config.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <random>
#include <span>
#include <utility>

namespace quantloupe {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kName = "the untrained sample";

/// Nearly normal, variance 1: twelve uniforms. No logarithm, whose last bit differs between C libraries.
double nearlyNormal(std::mt19937_64& random)
{
    double sum = 0.0;
    for (int i = 0; i < 12; ++i)
        sum += static_cast<double>(random() >> 11U) * 0x1p-53;
    return sum - 6.0;
}

struct DrawnTensor {
    std::string name;
    Shape shape;
    double deviation = 0.0;  ///< 0: all are 1
};

std::vector<DrawnTensor> tensorsOf(const LlamaFigures& figures)
{
    std::vector<DrawnTensor> list {{"model.embed_tokens.weight", {figures.vocabulary, figures.hidden}, 0.05}};
    const auto keys = figures.hidden / figures.heads * figures.keyValueHeads;
    const double residual = 1.0 / std::sqrt(2.0 * static_cast<double>(figures.blocks));
    for (std::size_t block = 0; block < figures.blocks; ++block) {
        const auto at = "model.layers." + std::to_string(block) + ".";
        const auto linear = [&](const char* name, std::size_t outputs, std::size_t inputs, double share = 1.0) {
            list.push_back(
                {at + name + ".weight", {outputs, inputs}, share * 0.7 / std::sqrt(static_cast<double>(inputs))});
        };
        list.push_back({at + "input_layernorm.weight", {figures.hidden}});
        linear("self_attn.q_proj", figures.hidden, figures.hidden);
        linear("self_attn.k_proj", keys, figures.hidden);
        linear("self_attn.v_proj", keys, figures.hidden);
        linear("self_attn.o_proj", figures.hidden, figures.hidden, residual);
        list.push_back({at + "post_attention_layernorm.weight", {figures.hidden}});
        linear("mlp.gate_proj", figures.inner, figures.hidden);
        linear("mlp.up_proj", figures.inner, figures.hidden);
        linear("mlp.down_proj", figures.hidden, figures.inner, residual);
    }
    list.push_back({"model.norm.weight", {figures.hidden}});
    return list;
}

/// Adds to an output projection, head by head, a tenth of the transpose of what makes its values: what a head looks at
/// begins as what it says.
void copyBack(const LlamaFigures& figures, std::span<const float> values, std::span<float> outputs)
{
    const auto size = figures.hidden / figures.heads, shared = figures.heads / figures.keyValueHeads;
    for (std::size_t column = 0; column < figures.hidden; ++column) {
        const auto source = ((column / size / shared) * size) + (column % size);
        for (std::size_t row = 0; row < figures.hidden; ++row)
            outputs[(row * figures.hidden) + column] += 0.1F * values[(source * figures.hidden) + row];
    }
}

}  // namespace

std::string LlamaFigures::configJson() const
{
    const Json config {
        {"architectures", Json::array({"LlamaForCausalLM"})},
        {"model_type", "llama"},
        {"hidden_size", hidden},
        {"intermediate_size", inner},
        {"num_hidden_layers", blocks},
        {"num_attention_heads", heads},
        {"num_key_value_heads", keyValueHeads},
        {"head_dim", hidden / heads},
        {"vocab_size", vocabulary},
        {"max_position_embeddings", context},
        {"hidden_act", "silu"},
        {"rms_norm_eps", 1e-5},
        {"rope_theta", 10000.0},
        {"tie_word_embeddings", true},
        {"bos_token_id", firstToken},
        {"torch_dtype", "bfloat16"},
    };
    return config.dump(2) + "\n";
}

Result<UntrainedModel> UntrainedModel::create(const LlamaFigures& figures, std::uint64_t seed)
{
    const auto text = figures.configJson();
    auto config = parseModelConfig(text, kName);
    if (!config)
        return tl::unexpected(config.error());
    auto settings = parseDecoderSettings(text, kName);
    if (!settings)
        return tl::unexpected(settings.error());
    UntrainedModel made;
    auto& model = made.m_model;
    model.path = kName;
    model.format = "safetensors";
    model.config = std::move(config->config);
    model.config.tiedEmbeddings = true;
    model.settings = std::move(*settings);
    std::mt19937_64 random(seed);
    const std::vector<float>* values = nullptr;  // of the block's v_proj
    for (const auto& [name, shape, deviation] : tensorsOf(figures)) {
        auto& drawn = made.m_values.emplace_back(elementCount(shape).value_or(0), 1.0F);
        if (deviation > 0.0)
            for (auto& value : drawn)
                value = static_cast<float>(deviation * nearlyNormal(random));
        auto& tensor = model.tensors.emplace_back();
        tensor.name = name;
        tensor.parts = readName(name);
        tensor.view.shape = shape;
        if (tensor.parts.role == TensorRole::Value)
            values = &drawn;
        if (tensor.parts.role == TensorRole::Output)
            copyBack(figures, *values, drawn);
        tensor.view.bytes = std::as_bytes(std::span<const float>(drawn));
    }
    return made;
}

std::string brainFloatSafetensors(const Model& model, const std::string& provenance)
{
    Json header {{"__metadata__", {{"format", "pt"}, {"quantloupe.provenance", provenance}}}};
    std::string data;
    for (const auto& tensor : model.tensors) {
        const auto begin = data.size();
        const auto shape = matrixShape(tensor.view);
        std::vector<float> values(static_cast<std::size_t>(shape.elements()));
        decodeRows(tensor.view, 0, shape.rows, values);
        std::vector<std::uint32_t> codes(values.size());
        kernels::floatEncode(kernels::FloatKind::BrainHalf, values, {values.size(), values.size(), true}, {}, codes);
        for (const auto code : codes) {
            data += static_cast<char>(code & 0xffU);
            data += static_cast<char>(code >> 8U & 0xffU);
        }
        header[tensor.name] = {{"dtype", "BF16"}, {"shape", tensor.view.shape}, {"data_offsets", {begin, data.size()}}};
    }
    auto text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start on a multiple of eight
    std::string file;
    for (unsigned i = 0; i < 8; ++i)
        file += static_cast<char>(std::uint64_t {text.size()} >> (8U * i) & 0xffU);
    return file + text + data;
}

}  // namespace quantloupe
