// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/sample/train_sample.h"

#include "core/sample/stories.h"
#include "core/tokenizers/learn_bpe.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kTrainingStories = 12'000, kHeldOutStories = 60;
constexpr std::size_t kTokenizerStories = 1'500;  ///< the first ones of the training
constexpr std::string_view kFirstToken = "<|story|>";

/// What is drawn by itself has a seed of its own.
enum class Stream : std::uint64_t { Training = 1, HeldOut, Weights, Order };
std::uint64_t seedOf(std::uint64_t seed, Stream stream)
{
    return (seed * 16) + static_cast<std::uint64_t>(stream);
}

std::string tokenizerConfig(const LlamaFigures& figures)
{
    const nlohmann::ordered_json config {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"bos_token", kFirstToken},
        {"model_max_length", figures.context}};
    return config.dump(2) + "\n";
}

template<class... Figures>
std::string written(const char* format, Figures... figures)
{
    std::array<char, 256> text {};
    std::snprintf(text.data(), text.size(), format, figures...);
    return text.data();
}

/// Of the windows that half of the training text is read in.
std::size_t shortWindow(const LlamaFigures& figures)
{
    return figures.context / 4;
}

std::string readMe(
    const SampleOptions& options, const SampleTexts& texts, const PretrainingHistory& history, std::uint64_t parameters)
{
    const auto settings = sampleTraining(options);
    std::string text = "# The bundled sample\n\n";
    text += written("A language model of %.2f million parameters (Llama architecture, %zu blocks, hidden size %zu, %zu "
                    "tokens, BF16),\n",
        static_cast<double>(parameters) / 1e6, texts.figures.blocks, texts.figures.hidden, texts.figures.vocabulary);
    text += "trained from random weights by Quantloupe itself on stories that Quantloupe tells itself. It holds no\n"
            "third-party weights and no third-party text. Made anew by\n\n";
    text += written("    quantloupe-cli train-sample --out FOLDER --seed %llu --steps %llu\n\n",
        static_cast<unsigned long long>(options.seed), static_cast<unsigned long long>(options.steps));
    text += written(
        "which takes %zu stories (%zu tokens in windows of %zu and %zu), %zu windows a step, AdamW (rate %g, weight "
        "decay %g,\nsecond decay %g, clipping at %g), %llu steps of warm-up and a cosine.\n\n",
        kTrainingStories, texts.training.tokens.size(), shortWindow(texts.figures), texts.figures.context,
        settings.batch, settings.learningRate, settings.weightDecay, settings.adam.secondDecay, settings.clipNorm,
        static_cast<unsigned long long>(settings.warmUp));
    text += "| step | training loss | held-out perplexity |\n| ---: | ---: | ---: |\n";
    for (const auto& found : history.evaluations) {
        const auto& steps = history.steps;
        const auto step = static_cast<std::size_t>(found.step);
        text += written("| %zu | ", step);
        text += steps.empty() ? std::string("–") : written("%.4f", steps[step == 0 ? 0 : step - 1].loss);
        text += written(" | %.4f |\n", found.perplexity);
    }
    text +=
        "\nThe loss is the mean −log p of a batch in nats, the perplexity that of text.txt in windows of 256 tokens "
        "whose\n"
        "second half counts, both of the float32 weights before they are stored as BF16.\n\n"
        "- `text.txt`: stories that are not in the training text, to calibrate and to evaluate with\n"
        "- `tokenizer.json`: byte-level BPE, learned from the training text\n"
        "- `model.safetensors`, `config.json`, `tokenizer_config.json`: as Hugging Face's tools load them\n\n"
        "The figures depend on the processor in their last digits; every other file is the same everywhere, which a "
        "test\nchecks.\n\nLicence: GPL-3.0-or-later, like the rest of Quantloupe.\n";
    return text;
}

/// The first half of the tokens in short windows, the other in long ones: what is near is learned sooner, and what is
/// far as well. Every prediction teaches.
Result<WindowedText> trainingWindows(std::vector<std::uint32_t> tokens, const LlamaFigures& figures)
{
    const auto half = tokens.size() / 2;
    const auto firstToken = static_cast<std::uint32_t>(figures.firstToken);
    auto text = cutWindows({tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(half)}, firstToken,
        shortWindow(figures), std::nullopt);
    const auto others = cutWindows(
        {tokens.begin() + static_cast<std::ptrdiff_t>(half), tokens.end()}, firstToken, figures.context, std::nullopt);
    if (!text || !others)
        return tl::unexpected(text ? others.error() : text.error());
    text->tokens = std::move(tokens);
    for (auto window : others->windows) {
        window.begin += half;
        text->windows.push_back(window);
    }
    for (auto& window : text->windows)
        window.firstScored = 0;
    return text;
}

}  // namespace

Result<SampleTexts> sampleTexts(std::uint64_t seed)
{
    SampleTexts texts;
    const auto training = tellStories(seedOf(seed, Stream::Training), kTrainingStories);
    StoryTeller others(seedOf(seed, Stream::HeldOut));
    std::vector<std::string> heldOut;
    while (heldOut.size() < kHeldOutStories)
        if (auto story = others.tell(); std::find(training.begin(), training.end(), story) == training.end())
            heldOut.push_back(std::move(story));
    auto heldOutText = joinStories(heldOut);
    const auto learned =
        learnBpe(joinStories({training.begin(), training.begin() + kTokenizerStories}), texts.figures.vocabulary - 1);
    auto json = tokenizerJson(learned, kFirstToken);
    texts.figures.firstToken = learned.pieces.size();
    auto parts = readTokenizerJson(std::as_bytes(std::span<const char>(json)), "tokenizer.json");
    if (!parts)
        return tl::unexpected(parts.error());
    const Tokenizer tokenizer(std::move(*parts));
    const auto first = static_cast<std::uint32_t>(texts.figures.firstToken);
    auto windows = trainingWindows(tokenizer.encode(joinStories(training), false), texts.figures);
    auto judged = cutWindows(tokenizer.encode(heldOutText, false), first, texts.figures.context, std::nullopt);
    if (!windows || !judged)
        return tl::unexpected(windows ? judged.error() : windows.error());
    texts.training = std::move(*windows);
    texts.heldOut = std::move(*judged);
    texts.files = {{"text.txt", std::move(heldOutText)}, {"tokenizer.json", std::move(json)},
        {"tokenizer_config.json", tokenizerConfig(texts.figures)}, {"config.json", texts.figures.configJson()}};
    return texts;
}

Result<UntrainedModel> untrainedSample(const SampleTexts& texts, std::uint64_t seed)
{
    return UntrainedModel::create(texts.figures, seedOf(seed, Stream::Weights));
}

PretrainingOptions sampleTraining(const SampleOptions& options)
{
    return {.steps = options.steps,
        .batch = 10,
        .learningRate = 3e-3,
        .warmUp = std::min<std::uint64_t>(50, options.steps / 10),
        .seed = seedOf(options.seed, Stream::Order),
        .evaluateEvery = 100,
        .threads = options.threads};
}

Result<TrainedSample> trainSample(const SampleOptions& options, std::stop_token stop, Progress& progress,
    const std::function<void(const PretrainingHistory&)>& afterEvaluation)
{
    auto texts = sampleTexts(options.seed);
    if (!texts)
        return tl::unexpected(texts.error());
    const auto start = untrainedSample(*texts, options.seed);
    if (!start)
        return tl::unexpected(start.error());
    const auto training =
        Pretraining::begin(start->model(), texts->training, texts->heldOut, sampleTraining(options), stop);
    if (!training)
        return tl::unexpected(training.error());
    const auto& history = (*training)->history();
    const auto done = (*training)->run(stop, progress, [&] {
        if (afterEvaluation)
            afterEvaluation(history);
    });
    if (!done)
        return tl::unexpected(done.error());
    const auto& model = (*training)->model();
    TrainedSample sample {.files = std::move(texts->files), .history = history};
    sample.files.push_back({"README.md", readMe(options, *texts, history, model.parameters())});
    sample.files.push_back({"model.safetensors",
        brainFloatSafetensors(model,
            "trained by quantloupe-cli train-sample --seed " + std::to_string(options.seed) + " --steps "
                + std::to_string(options.steps) + " on stories of its own grammar")});
    return sample;
}

}  // namespace quantloupe
