// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/make_sample/sample_model.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace quantloupe {
namespace {

constexpr std::uint64_t kHidden = 128;
constexpr std::uint64_t kIntermediate = 384;
constexpr std::uint64_t kLayers = 6;
constexpr std::uint64_t kHeads = 8;
constexpr std::uint64_t kKeyValueHeads = 4;
constexpr std::uint64_t kVocabulary = 2048;
constexpr std::uint64_t kSeed = 20260101;

/// Counter-based random numbers: draw i of a stream does not depend on the draws before it.
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (splitmix64).
class Stream
{
public:
    explicit Stream(std::uint64_t seed)
        : m_seed(seed)
    {
    }

    /// [0, 1), 53 bits.
    double uniform(std::uint64_t i) const
    {
        std::uint64_t z = m_seed + (i + 1) * 0x9E3779B97F4A7C15ULL;
        z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
        return static_cast<double>((z ^ (z >> 31U)) >> 11U) * 0x1p-53;
    }

    /// Nearly normal, variance 1: twelve uniforms. No logarithm, whose last bit differs between C libraries.
    double normal(std::uint64_t i) const
    {
        double sum = 0.0;
        for (std::uint64_t k = 0; k < 12; ++k)
            sum += uniform(12 * i + k);
        return sum - 6.0;
    }

private:
    std::uint64_t m_seed;
};

/// How one tensor's weights are drawn.
struct Recipe {
    std::string name;
    std::vector<std::uint64_t> shape;
    double scale = 0.02;          ///< standard deviation of the bulk
    double tail = 0.0;            ///< weight of the cubic term: 0 normal, 0.2 heavy
    unsigned outlierColumns = 0;  ///< input channels several times larger
    double outlierGain = 1.0;     ///< how much
    double spikes = 0.0;          ///< share of single weights far outside
    bool gain = false;            ///< normalization gain: around 1
};

/// In the order a checkpoint has them. Tails and outliers grow towards both ends of the stack.
std::vector<Recipe> recipes()
{
    std::vector<Recipe> list;
    const auto gain = [&](std::string name) {
        list.push_back({std::move(name), {kHidden}, 0.15, 0.0, 0, 1.0, 0.0, true});
    };
    list.push_back({"model.embed_tokens.weight", {kVocabulary, kHidden}, 0.06, 0.03, 3, 3.0, 0.0002, false});
    for (std::uint64_t layer = 0; layer < kLayers; ++layer) {
        const double depth = static_cast<double>(layer) / static_cast<double>(kLayers - 1);
        const double edge = (2.0 * depth - 1.0) * (2.0 * depth - 1.0);  // 1 at both ends, 0 in the middle
        const std::string block = "model.layers." + std::to_string(layer) + ".";
        const std::uint64_t keyValue = kHidden / kHeads * kKeyValueHeads;
        const auto linear = [&](const char* name, std::uint64_t rows, std::uint64_t columns, double scale, double tail,
                                unsigned outliers, double outlierGain) {
            list.push_back({block + name + ".weight", {rows, columns}, scale, tail * (0.4 + edge), outliers,
                1.0 + (outlierGain - 1.0) * (0.3 + 0.7 * edge), 0.0001 + 0.0004 * edge, false});
        };
        gain(block + "input_layernorm.weight");
        linear("self_attn.q_proj", kHidden, kHidden, 0.05, 0.08, 2, 5.0);
        linear("self_attn.k_proj", keyValue, kHidden, 0.06, 0.10, 2, 5.0);
        linear("self_attn.v_proj", keyValue, kHidden, 0.03, 0.02, 0, 1.0);
        linear("self_attn.o_proj", kHidden, kHidden, 0.04, 0.04, 1, 3.0);
        gain(block + "post_attention_layernorm.weight");
        linear("mlp.gate_proj", kIntermediate, kHidden, 0.05, 0.03, 1, 3.0);
        linear("mlp.up_proj", kIntermediate, kHidden, 0.04, 0.02, 0, 1.0);
        linear("mlp.down_proj", kHidden, kIntermediate, 0.04, 0.12, 4, 9.0);
    }
    gain("model.norm.weight");
    return list;
}

std::uint16_t toBFloat16(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

std::string draw(const Recipe& recipe, std::uint64_t index)
{
    const auto stream = [&](std::uint64_t k) { return Stream((kSeed * 1'000'003 + index) * 1'000'003 + k); };
    const std::uint64_t columns = recipe.shape.back();
    const std::uint64_t rows = recipe.shape.size() == 2 ? recipe.shape[0] : 1;
    const Stream bulk = stream(1);
    const Stream rowSize = stream(2);
    const Stream place = stream(3);
    const Stream gain = stream(4);
    const Stream spike = stream(5);

    std::vector<double> column(columns, 1.0);
    for (unsigned k = 0; k < recipe.outlierColumns; ++k)
        column[static_cast<std::size_t>(place.uniform(k) * static_cast<double>(columns))] =
            recipe.outlierGain * (0.7 + 0.6 * gain.uniform(k));

    std::string bytes;
    bytes.reserve(rows * columns * 2);
    for (std::uint64_t row = 0; row < rows; ++row) {
        const double size = recipe.gain ? 1.0 : 0.6 + 0.8 * rowSize.uniform(row);
        for (std::uint64_t c = 0; c < columns; ++c) {
            const std::uint64_t i = row * columns + c;
            const double g = bulk.normal(i);
            double weight = g * (1.0 + recipe.tail * g * g) * size * column[c] * recipe.scale;
            if (spike.uniform(i) < recipe.spikes)
                weight *= 6.0;
            if (recipe.gain)
                weight += 1.0;
            const std::uint16_t stored = toBFloat16(static_cast<float>(weight));
            bytes += static_cast<char>(stored & 0xffU);
            bytes += static_cast<char>(stored >> 8U);
        }
    }
    return bytes;
}

}  // namespace

SampleModel makeSampleModel()
{
    nlohmann::ordered_json header;
    header["__metadata__"] = {
        {"format", "pt"},
        {"quantloupe.synthetic", "true"},
        {"quantloupe.provenance", "drawn by quantloupe-make-sample from a fixed seed; never trained on anything"},
    };
    std::string data;
    std::uint64_t index = 0;
    for (const auto& recipe : recipes()) {
        const auto begin = data.size();
        data += draw(recipe, index++);
        header[recipe.name] = {{"dtype", "BF16"}, {"shape", recipe.shape}, {"data_offsets", {begin, data.size()}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors start on a multiple of eight

    SampleModel model;
    const std::uint64_t length = text.size();
    for (unsigned i = 0; i < 8; ++i)
        model.safetensors += static_cast<char>(length >> (8U * i) & 0xffU);
    model.safetensors += text + data;

    const nlohmann::ordered_json config = {
        {"architectures", {"LlamaForCausalLM"}},
        {"model_type", "llama"},
        {"hidden_size", kHidden},
        {"intermediate_size", kIntermediate},
        {"num_hidden_layers", kLayers},
        {"num_attention_heads", kHeads},
        {"num_key_value_heads", kKeyValueHeads},
        {"head_dim", kHidden / kHeads},
        {"vocab_size", kVocabulary},
        {"max_position_embeddings", 2048},
        {"rms_norm_eps", 1e-5},
        {"rope_theta", 10000.0},
        {"tie_word_embeddings", true},
        {"torch_dtype", "bfloat16"},
    };
    model.config = config.dump(2) + "\n";
    return model;
}

}  // namespace quantloupe
