// SPDX-License-Identifier: GPL-3.0-or-later
// A study without a model file: Llama-like tensors whose errors follow plain formulas, for tests of what reads studies.
#pragma once

#include "core/projection/device.h"
#include "core/study/study.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace quantloupe::tests {

inline Scheme scheme(const char* text)
{
    return Scheme::parse(text).value();
}

/// Errors halve by 6 dB per bit, grow with depth, and are ten times larger for down projections: figures a test can
/// work out by hand.
inline SchemeMeasurement syntheticMeasurement(
    const CatalogTensor& tensor, const WeightStatistics& weights, const Scheme& scheme)
{
    SchemeMeasurement measurement;
    measurement.scheme = scheme;
    measurement.storedBytes = scheme.storedBytes(tensor.matrix);
    measurement.bitsPerWeight = scheme.bitsPerWeight(tensor.matrix);
    const double depth = 1.0 + 0.1 * tensor.parts.block.value_or(0);
    const double role =
        tensor.parts.role == TensorRole::Down ? 10.0 : 1.0 + 0.2 * static_cast<double>(tensor.parts.role);
    const double relative = std::pow(4.0, 1.0 - codeBits(scheme.format)) * 0.2 * depth * role;
    ErrorStatistics& error = measurement.error;
    error.count = tensor.matrix.elements();
    error.signalEnergy = weights.moments.sum2;
    error.errorEnergy = error.signalEnergy * relative;
    error.quantizedEnergy = error.signalEnergy * (1.0 - relative);
    error.dotProduct = error.signalEnergy * (1.0 - relative);
    error.maxAbsError = 3.0 * std::sqrt(error.errorEnergy / static_cast<double>(error.count));
    error.clipped = error.count / 1000;
    Histogram& histogram = measurement.errorHistogram;
    histogram.low = -error.maxAbsError;
    histogram.high = error.maxAbsError;
    for (int bin = 0; bin < 256; ++bin) {
        const double x = (bin - 127.5) / 48.0;
        histogram.counts.push_back(static_cast<std::uint64_t>(1000.0 * std::exp(-0.5 * x * x)));
    }
    return measurement;
}

inline WeightStatistics syntheticWeights(const CatalogTensor& tensor)
{
    WeightStatistics weights;
    const double sigma = 0.02 * (1.0 + 0.3 * tensor.parts.block.value_or(0));
    weights.moments.count = tensor.matrix.elements();
    weights.moments.sum2 = sigma * sigma * static_cast<double>(weights.moments.count);
    weights.maximum = (tensor.parts.role == TensorRole::Down ? 12.0 : 5.0) * sigma;
    weights.minimum = -0.9 * weights.maximum;
    weights.absMax = weights.maximum;
    weights.percentile1 = -2.33 * sigma;
    weights.percentile99 = 2.33 * sigma;
    weights.beyond3Sigma = weights.moments.count / 300;
    weights.beyond6Sigma = weights.moments.count / 100000;
    weights.histogram.low = weights.minimum;
    weights.histogram.high = weights.maximum;
    for (int bin = 0; bin < 256; ++bin) {
        const double x = weights.histogram.low + (bin + 0.5) * (weights.histogram.high - weights.histogram.low) / 256.0;
        weights.histogram.counts.push_back(
            static_cast<std::uint64_t>(10000.0 * std::exp(-0.5 * x * x / (sigma * sigma))));
    }
    return weights;
}

/// A model of `blocks` blocks in F32: embedding, per block q k v o gate up down and two norms, final norm, output head.
inline ModelCatalog syntheticCatalog(unsigned blocks, std::uint64_t hidden = 64)
{
    ModelCatalog model;
    model.fingerprint = "00112233445566778899aabbccddeeff";
    model.path = "model.safetensors";
    model.format = "safetensors";
    model.synthetic = true;
    model.config.architecture = "llama";
    model.config.hiddenSize = hidden;
    model.config.layers = blocks;
    model.config.heads = 4;
    model.config.keyValueHeads = 2;
    model.config.headDimension = hidden / 4;
    model.config.intermediateSize = 3 * hidden;
    model.config.vocabulary = 512;
    model.config.contextLength = 4096;
    const auto add = [&](const std::string& name, Shape shape) {
        CatalogTensor tensor;
        tensor.name = name;
        tensor.parts = readName(name);
        tensor.shape = shape;
        tensor.matrix = shape.size() == 2 ? MatrixShape {shape[0], shape[1]} : MatrixShape {1, shape[0]};
        tensor.bytes = tensor.matrix.elements() * 4;
        tensor.quantizable = shape.size() == 2;
        model.tensors.push_back(std::move(tensor));
    };
    add("model.embed_tokens.weight", {512, hidden});
    for (unsigned block = 0; block < blocks; ++block) {
        const std::string prefix = "model.layers." + std::to_string(block) + ".";
        add(prefix + "input_layernorm.weight", {hidden});
        add(prefix + "self_attn.q_proj.weight", {hidden, hidden});
        add(prefix + "self_attn.k_proj.weight", {hidden / 2, hidden});
        add(prefix + "self_attn.v_proj.weight", {hidden / 2, hidden});
        add(prefix + "self_attn.o_proj.weight", {hidden, hidden});
        add(prefix + "post_attention_layernorm.weight", {hidden});
        add(prefix + "mlp.gate_proj.weight", {3 * hidden, hidden});
        add(prefix + "mlp.up_proj.weight", {3 * hidden, hidden});
        add(prefix + "mlp.down_proj.weight", {hidden, 3 * hidden});
    }
    add("model.norm.weight", {hidden});
    add("lm_head.weight", {512, hidden});
    return model;
}

inline constexpr std::array syntheticSchemes {"int2:g32", "int3:g32", "int4:g32", "int5:g32", "int6:g32", "int8"};

/// Every quantizable tensor under every scheme of `schemes`, and a uniform int4:g32 recipe.
inline StudySnapshot syntheticStudy(unsigned blocks,
    const std::vector<const char*>& schemes = {syntheticSchemes.begin(), syntheticSchemes.end()},
    std::uint64_t hidden = 64)
{
    StudySnapshot study;
    study.model = syntheticCatalog(blocks, hidden);
    for (const CatalogTensor& tensor : study.model.tensors) {
        TensorMeasurement measured;
        measured.tensor = tensor.name;
        measured.weights = syntheticWeights(tensor);
        if (tensor.quantizable) {
            for (const char* text : schemes)
                measured.schemes.push_back(syntheticMeasurement(tensor, measured.weights, scheme(text)));
        }
        study.add(measured);
    }
    study.recipe = Recipe::uniform(scheme("int4:g32"), study.model);
    return study;
}

inline DeviceProfile syntheticDevice(std::string id, std::string name, double memory, double bandwidth, double rate)
{
    DeviceProfile device;
    device.id = std::move(id);
    device.name = std::move(name);
    device.kind = "gpu";
    device.memoryBytes = {memory, "data sheet"};
    device.memoryBandwidth = {bandwidth, "data sheet"};
    device.bandwidthEfficiency = {0.8, "measured elsewhere"};
    device.computeEfficiency = {0.5, "measured elsewhere"};
    device.compute = {
        {"fp32", {rate / 2, "data sheet"}}, {"fp16", {rate, "data sheet"}}, {"int8", {2 * rate, "data sheet"}}};
    device.energyPerByte = {5e-11, "estimate"};
    device.energyPerOperation = {5e-13, "estimate"};
    device.idlePower = {20.0, "data sheet"};
    return device;
}

}  // namespace quantloupe::tests
