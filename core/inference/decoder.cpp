// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/decoder.h"

#include "core/base/text.h"
#include "core/inference/layer_finder.h"
#include "core/kernels/dense_algebra.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quantloupe {
namespace {

/// No model of today is near it, and products of two such figures do not overflow.
constexpr std::uint64_t kMaxFigure = 1U << 30U;

std::optional<Activation> readActivation(const std::string& name, const Architecture& architecture)
{
    // Gemma's first configurations say "gelu" and mean its tanh form.
    if (name.empty() || (name == "gelu" && architecture.name.starts_with("gemma")))
        return architecture.activation;
    if (name == "silu" || name == "swish")
        return Activation::Silu;
    if (name == "gelu")
        return Activation::Gelu;
    if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
        return Activation::GeluTanh;
    return std::nullopt;
}

/// Figures of the architecture, before the tensors are looked at.
Result<Decoder> readFigures(const Model& model)
{
    const auto& config = model.config;
    const auto& settings = model.settings;
    const auto refuse = [&](std::string what) {
        return failure(ErrorCode::Unsupported, model.path.string(), std::move(what));
    };
    if (config.architecture.empty())
        return refuse("the model does not name its architecture, so that it cannot be run");
    const auto* architecture = findArchitecture(config.architecture, model.naming);
    if (!architecture)
        return refuse("models of architecture " + inQuotes(config.architecture) + " cannot be run yet");
    if (!settings.unusual.empty())
        return refuse("models with " + inQuotes(settings.unusual) + " cannot be run yet");
    const auto activation = readActivation(settings.activation, *architecture);
    if (!activation)
        return refuse("the activation " + inQuotes(settings.activation) + " cannot be computed yet");

    Decoder decoder {.model = &model, .architecture = *architecture, .activation = *activation};
    if (settings.rotaryNeighbours)
        decoder.architecture.positions = PositionKind::Pairs;
    decoder.normEpsilon = settings.normEpsilon.value_or(architecture->normEpsilon);
    decoder.attentionCap = static_cast<float>(settings.attentionCap.value_or(0.0));
    decoder.outputCap = static_cast<float>(settings.outputCap.value_or(0.0));
    decoder.normalizesExperts = settings.normalizesExperts.value_or(architecture->normalizesExperts);
    const auto figure = [&](const std::optional<std::uint64_t>& value, std::uint64_t otherwise = 0) {
        return value.value_or(otherwise) > kMaxFigure ? 0 : static_cast<std::size_t>(value.value_or(otherwise));
    };
    decoder.heads = figure(config.heads, architecture->heads);
    decoder.keyValueHeads = figure(config.keyValueHeads, architecture->keyValueHeads);
    decoder.headDimension = figure(config.headDimension, architecture->headDimension);
    decoder.expertsPerToken = figure(config.expertsPerToken);
    if (decoder.heads == 0 || decoder.keyValueHeads == 0 || decoder.headDimension == 0
        || decoder.heads % decoder.keyValueHeads != 0 || figure(config.layers) == 0)
        return failure(ErrorCode::Malformed, model.path.string(),
            "the numbers of blocks and heads are missing or do not go together");
    if (!(decoder.normEpsilon >= 0.0) || !(decoder.attentionCap >= 0.0F) || !(decoder.outputCap >= 0.0F))
        return failure(ErrorCode::Malformed, model.path.string(), "the norm's epsilon or a soft cap is below 0");
    return decoder;
}

float attentionScale(const Decoder& decoder)
{
    const auto& settings = decoder.model->settings;
    if (settings.attentionScale.value_or(0.0) > 0.0)
        return static_cast<float>(*settings.attentionScale);
    double size = static_cast<double>(decoder.headDimension);
    if (settings.queryScale.value_or(0.0) > 0.0)
        size = *settings.queryScale;
    else if (decoder.architecture.wideHeadLayers != 0
        && decoder.architecture.wideHeadLayers == decoder.model->config.layers)
        size = static_cast<double>(decoder.hidden) / static_cast<double>(decoder.heads);
    return static_cast<float>(1.0 / std::sqrt(size));
}

void describeRotary(Decoder& decoder, LayerFinder& finder)
{
    const auto& model = *decoder.model;
    const auto& settings = model.settings;
    if (decoder.architecture.positions == PositionKind::Learned)
        return;
    const auto share = static_cast<std::size_t>(
        static_cast<double>(decoder.headDimension) * std::clamp(settings.rotaryShare.value_or(1.0), 0.0, 1.0));
    const auto dimensions = settings.rotaryDimensions.value_or(share);
    if (dimensions > decoder.headDimension) {
        finder.fail(ErrorCode::Malformed, model.path.string(),
            std::to_string(dimensions) + " rotary dimensions are more than a head has");
        return;
    }
    const RotaryFactors factors {.all = finder.vector("rope_freqs.weight"),
        .shortOnes = finder.vector("rope_factors_short.weight"),
        .longOnes = finder.vector("rope_factors_long.weight")};
    auto scaling = settings.rotary;
    if (scaling.type.empty() && !factors.shortOnes.empty())
        scaling.type = "longrope";
    const double base = settings.rotaryBase.value_or(decoder.architecture.rotaryBase);
    auto rotary = makeRotary(scaling, base, dimensions, model.config.contextLength, factors);
    const double localBase = settings.localRotaryBase.value_or(decoder.architecture.localRotaryBase);
    auto local = localBase > 0.0 ? makeRotary({}, localBase, dimensions, model.config.contextLength, {}) : rotary;
    if (!rotary || !local) {
        const auto& error = rotary ? local.error() : rotary.error();
        finder.fail(error.code, model.path.string(), error.where + " " + error.reason);
        return;
    }
    decoder.rotary = std::move(*rotary);
    decoder.localRotary = std::move(*local);
}

/// Whether block `index` sees a sliding window only, where the model has one.
bool isWindowed(const Decoder& decoder, std::size_t index)
{
    const auto& settings = decoder.model->settings;
    if (!settings.windowedLayers.empty())
        return index < settings.windowedLayers.size() && settings.windowedLayers[index];
    if (settings.firstWindowedLayer)
        return index >= *settings.firstWindowedLayer;
    const auto pattern = settings.windowPattern.value_or(decoder.architecture.windowPattern);
    return pattern == 0 || (index + 1) % pattern != 0;
}

AttentionPart describeAttention(const Decoder& decoder, LayerFinder& finder, std::size_t index)
{
    const auto name = "blk." + std::to_string(index) + ".";
    const auto queries = decoder.queryColumns();
    const auto keys = decoder.keyColumns();
    AttentionPart part;
    part.norm = finder.norm(name + "attn_norm", decoder.hidden);
    if (finder.find(name + "attn_qkv.weight")) {
        part.queryKeyValue = {finder.linear(name + "attn_qkv", queries + 2 * keys, decoder.hidden)};
    } else {
        part.queryKeyValue = {finder.linear(name + "attn_q", queries, decoder.hidden),
            finder.linear(name + "attn_k", keys, decoder.hidden), finder.linear(name + "attn_v", keys, decoder.hidden)};
    }
    part.output = finder.linear(name + "attn_output", decoder.hidden, queries);
    part.queryNorm = finder.normIfThere(name + "attn_q_norm", decoder.headDimension);
    part.keyNorm = finder.normIfThere(name + "attn_k_norm", decoder.headDimension);
    if (decoder.architecture.normsOutputs)
        part.outputNorm = finder.norm(name + "post_attention_norm", decoder.hidden);

    const auto& settings = decoder.model->settings;
    const auto interval = settings.noRotaryInterval.value_or(decoder.architecture.noRotaryInterval);
    part.rotates = index < settings.rotaryLayers.size() ? settings.rotaryLayers[index]
                                                        : interval == 0 || (index + 1) % interval != 0;
    part.rotates = part.rotates && decoder.architecture.positions != PositionKind::Learned;
    if (isWindowed(decoder, index)) {
        part.window = decoder.model->config.slidingWindow.value_or(0);
        part.local = decoder.architecture.windowPattern != 0;
    }
    return part;
}

/// Gate and up in one tensor, in two, or up alone.
GatedLayers describeDense(
    const Decoder& decoder, LayerFinder& finder, const std::string& prefix, const std::string& suffix)
{
    GatedLayers layers;
    layers.down = finder.linear(prefix + "ffn_down" + suffix, decoder.hidden, 0);
    const auto inner = layers.down.inputs;
    if (finder.find(prefix + "ffn_gate" + suffix + ".weight"))
        layers.gateUp = {finder.linear(prefix + "ffn_gate" + suffix, inner, decoder.hidden),
            finder.linear(prefix + "ffn_up" + suffix, inner, decoder.hidden)};
    else
        layers.gateUp = {finder.linear(prefix + "ffn_up" + suffix, decoder.gated ? 2 * inner : inner, decoder.hidden)};
    return layers;
}

void describeExperts(const Decoder& decoder, LayerFinder& finder, const std::string& prefix, FeedForwardPart& part)
{
    part.router = finder.linear(prefix + "ffn_gate_inp", 0, decoder.hidden);
    const auto experts = part.router->outputs;
    if (decoder.expertsPerToken == 0 || decoder.expertsPerToken > experts) {
        finder.fail(ErrorCode::Malformed, decoder.model->path.string(),
            "the number of experts per token is missing or more than there are");
        return;
    }
    for (unsigned expert = 0; expert < experts && !finder.error(); ++expert) {
        const auto gate = finder.findExpert(prefix + "ffn_gate_exps", expert, experts);
        const auto up = finder.findExpert(prefix + "ffn_up_exps", expert, experts);
        const auto down = finder.findExpert(prefix + "ffn_down_exps", expert, experts);
        if (!gate || !up || !down) {
            finder.fail(ErrorCode::Malformed, decoder.model->path.string(),
                "expert " + std::to_string(expert) + " of " + prefix
                    + "ffn is missing or not a stack that can be read");
            return;
        }
        finder.require(*down, decoder.hidden, 0);
        finder.require(*gate, down->inputs, decoder.hidden);
        finder.require(*up, down->inputs, decoder.hidden);
        part.experts.push_back({.gateUp = {*gate, *up}, .down = *down});
    }
    if (finder.find(prefix + "ffn_down_shexp.weight"))
        part.dense = describeDense(decoder, finder, prefix, "_shexp");
    if (part.dense && finder.find(prefix + "ffn_gate_inp_shexp.weight"))
        part.sharedGate = finder.linear(prefix + "ffn_gate_inp_shexp", 1, decoder.hidden);
}

FeedForwardPart describeFeedForward(const Decoder& decoder, LayerFinder& finder, std::size_t index)
{
    const auto name = "blk." + std::to_string(index) + ".";
    FeedForwardPart part;
    part.norm = finder.norm(name + "ffn_norm", decoder.hidden);
    if (finder.hasExperts(name + "ffn_down_exps"))
        describeExperts(decoder, finder, name, part);
    else
        part.dense = describeDense(decoder, finder, name, "");
    if (decoder.architecture.normsOutputs)
        part.outputNorm = finder.norm(name + "post_ffw_norm", decoder.hidden);
    return part;
}

/// The two ends: embedding and output head.
void describeTables(Decoder& decoder, LayerFinder& finder)
{
    const auto& model = *decoder.model;
    const auto embedding = finder.linear("token_embd", 0, model.config.hiddenSize.value_or(0));
    decoder.embedding = embedding.tensor;
    decoder.hidden = embedding.inputs;
    decoder.vocabulary = embedding.outputs;
    if (finder.error())
        return;
    if (model.config.vocabulary.value_or(0) > embedding.outputs)
        finder.fail(ErrorCode::Malformed, model.tensors[embedding.tensor].name,
            "has " + std::to_string(embedding.outputs) + " rows for a vocabulary of "
                + std::to_string(*model.config.vocabulary) + " tokens");
    const bool stored = finder.find("output.weight").has_value();
    if (stored && !model.config.tiedEmbeddings) {
        decoder.head = finder.linear("output", decoder.vocabulary, decoder.hidden);
    } else if (model.config.tiedEmbeddings) {
        decoder.head = embedding;
        decoder.head.bias = std::nullopt;
    } else {
        finder.fail(ErrorCode::Malformed, model.path.string(), "there is no output head, and none is tied");
    }
    if (decoder.architecture.scalesEmbedding)
        decoder.embeddingScale = static_cast<float>(std::sqrt(static_cast<double>(decoder.hidden)));
    if (decoder.architecture.positions == PositionKind::Learned) {
        const auto positions = finder.linear("position_embd", 0, decoder.hidden);
        decoder.positions = positions.tensor;
        decoder.maxContext = positions.outputs;
    }
    decoder.outputNorm = finder.norm("output_norm", decoder.hidden);
}

}  // namespace

Result<Decoder> describeDecoder(const Model& model)
{
    if (auto able = kernels::requireProducts(); !able)
        return tl::unexpected(able.error());
    auto decoder = readFigures(model);
    if (!decoder)
        return decoder;
    LayerFinder finder(model);
    decoder->gated = decoder->architecture.name != "gpt2";
    describeTables(*decoder, finder);
    decoder->attentionScale = finder.error() ? 0.0F : attentionScale(*decoder);
    if (!finder.error())
        describeRotary(*decoder, finder);
    for (std::uint64_t i = 0; i < *model.config.layers && !finder.error(); ++i)
        decoder->blocks.push_back({describeAttention(*decoder, finder, i), describeFeedForward(*decoder, finder, i)});
    if (finder.error())
        return tl::unexpected(*finder.error());
    return decoder;
}

void setIntegerFunctions(Decoder& decoder, bool integers)
{
    decoder.integerFunctions = integers;
    decoder.architecture.norm.inIntegers = integers;
}

std::vector<std::size_t> matricesOf(const DecoderBlock& block)
{
    std::vector<std::size_t> tensors;
    const auto add = [&](const LinearLayer& layer) {
        if (tensors.empty() || tensors.back() != layer.tensor)
            tensors.push_back(layer.tensor);
    };
    const auto addGated = [&](const GatedLayers& layers) {
        for (const auto& layer : layers.gateUp)
            add(layer);
        add(layers.down);
    };
    for (const auto& layer : block.attention.queryKeyValue)
        add(layer);
    add(block.attention.output);
    const auto& feedForward = block.feedForward;
    for (const auto* layer : {&feedForward.router, &feedForward.sharedGate})
        if (*layer)
            add(**layer);
    if (feedForward.dense)
        addGated(*feedForward.dense);
    for (const auto& expert : feedForward.experts)
        addGated(expert);
    return tensors;
}

}  // namespace quantloupe
