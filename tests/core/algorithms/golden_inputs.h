// SPDX-License-Identifier: GPL-3.0-or-later
// What calibration taught about the layers of the golden set, and layers made up for tests.
#pragma once

#include "core/algorithms/damped_moments.h"
#include "core/calibration/layer_inputs.h"
#include "tests/core/algorithms/golden_set.h"
#include "tests/support/synthetic_activations.h"

#include <random>

namespace quantloupe::tests {

/// Everything that inputs [tokens][columns] tell.
inline LayerInputs inputsOf(std::vector<float> sample, std::size_t columns)
{
    const std::size_t tokens = sample.size() / columns;
    LayerInputs inputs {columns, tokens, std::vector<double>(columns * columns)};
    std::vector<double> wide(sample.begin(), sample.end()), mean(columns), absMean(columns);
    const kernels::Matrix<const double> rows {wide.data(), tokens, columns, columns};
    kernels::addProduct(1.0, rows, kernels::Side::Transposed, rows, kernels::Side::Plain, 0.0,
        {inputs.secondMoments.data(), columns, columns, columns});
    inputs.absMax.assign(columns, 0.0F);
    for (std::size_t i = 0; i < wide.size(); ++i) {
        const std::size_t j = i % columns;
        mean[j] += wide[i] / double(tokens);
        absMean[j] += std::abs(wide[i]) / double(tokens);
        inputs.absMax[j] = std::max(inputs.absMax[j], std::abs(sample[i]));
    }
    inputs.mean.assign(mean.begin(), mean.end());
    inputs.absMean.assign(absMean.begin(), absMean.end());
    inputs.sample = std::move(sample);
    return inputs;
}

/// Moments and extremes over all calibration tokens, a sample of them; `evaluation` is empty for the real layers.
struct GoldenInputs {
    LayerInputs calibration {}, evaluation {};
};

/// By the names of their cases. Empty where a file is missing, or the generator does not make what it should.
inline std::map<std::string, GoldenInputs> goldenInputs()
{
    std::map<std::string, GoldenInputs> all;
    for (const char* name : {"stories_0_wq", "stories_1_wk", "stories_2_w1", "stories_3_w2", "stories_4_wo"}) {
        const auto folder = golden() / name;
        auto moments = readNpy(folder / "H.npy"), sample = readNpy(folder / "X512.npy");
        auto absMax = readNpy(folder / "x_absmax.npy"), mean = readNpy(folder / "x_mean.npy");
        if (!moments || !sample || !absMax || !mean)
            return {};
        // H is 2/16 · XᵀX over 16 sequences of 256 tokens.
        LayerInputs inputs {absMax->values.size(), 4096};
        for (const float value : moments->values)
            inputs.secondMoments.push_back(8.0 * double(value));
        inputs.mean = std::move(mean->values);
        inputs.absMax = std::move(absMax->values);
        inputs.sample = std::move(sample->values);
        all[name] = {std::move(inputs)};
    }
    const auto synthetic = nlohmann::json::parse(contentOf(golden() / "synthetic.json")).at("syn512");
    auto calibration = syntheticActivations(2048, 512, synthetic.at("seed"));
    auto evaluation = syntheticActivations(1024, 512, synthetic.at("seed"), 30);
    if (sha256(calibration.data(), calibration.size() * sizeof(float)) != synthetic.at("sha256").at("X")
        || sha256(evaluation.data(), evaluation.size() * sizeof(float)) != synthetic.at("sha256").at("X2"))
        return {};
    all["syn512"] = {inputsOf(std::move(calibration), 512), inputsOf(std::move(evaluation), 512)};
    return all;
}

/// A layer with outliers among weights and inputs alike.
struct MadeUpLayer {
    std::size_t rows, columns;
    std::vector<float> weights = syntheticWeights(rows, columns, 5);
    LayerInputs inputs = inputsOf(syntheticActivations(2 * columns + 50, columns, 5), columns);
};

}  // namespace quantloupe::tests
