// SPDX-License-Identifier: GPL-3.0-or-later
// What tensor names say, in the families people use and in both naming worlds.
#include "core/model/tensor_role.h"

#include <QTest>

using namespace quantloupe;

Q_DECLARE_METATYPE(NameParts)

class TestTensorRole : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void readsNames_data()
    {
        QTest::addColumn<NameParts>("parts");
        using Role = TensorRole;
        const auto row = [](const char* name, const NameParts& parts) { QTest::newRow(name) << parts; };
        const auto top = [&](const char* name, Role role) { row(name, {.role = role}); };
        const auto in = [&](unsigned block, const char* name, Role role, const char* group = "") {
            row(name, {.role = role, .block = block, .fusedGroup = group});
        };

        // Llama, Mistral, Qwen 2 and 3, Gemma
        top("model.embed_tokens.weight", Role::Embedding);
        top("lm_head.weight", Role::LmHead);
        top("model.norm.weight", Role::Norm);
        in(0, "model.layers.0.self_attn.q_proj.weight", Role::Query, "0.attn.qkv");
        in(0, "model.layers.0.self_attn.k_proj.weight", Role::Key, "0.attn.qkv");
        in(31, "model.layers.31.self_attn.v_proj.weight", Role::Value, "31.attn.qkv");
        in(31, "model.layers.31.self_attn.o_proj.weight", Role::Output);
        in(3, "model.layers.3.mlp.gate_proj.weight", Role::Gate, "3.mlp.gate_up");
        in(3, "model.layers.3.mlp.up_proj.weight", Role::Up, "3.mlp.gate_up");
        in(3, "model.layers.3.mlp.down_proj.weight", Role::Down);
        in(3, "model.layers.3.input_layernorm.weight", Role::Norm);
        in(3, "model.layers.3.post_attention_layernorm.weight", Role::Norm);
        in(3, "model.layers.3.pre_feedforward_layernorm.weight", Role::Norm);
        in(3, "model.layers.3.self_attn.q_norm.weight", Role::Norm);
        in(3, "model.layers.3.self_attn.q_proj.bias", Role::Bias);
        in(3, "model.layers.3.self_attn.rotary_emb.inv_freq", Role::Other);
        in(126, "model.language_model.layers.126.mlp.up_proj.weight", Role::Up, "126.mlp.gate_up");
        in(1, "language_model.model.layers.1.self_attn.q_proj.weight", Role::Query, "1.attn.qkv");
        // Keras and Flax
        top("embedding.embeddings", Role::Embedding);
        top("batch_normalization_1.moving_variance", Role::Norm);
        top("bn.gamma", Role::Norm);
        top("dense_1.kernel", Role::Other);
        in(0, "bert.encoder.layer.0.attention.self.query.kernel", Role::Query, "bert.encoder.0.attn.qkv");
        in(0, "bert.encoder.layer.0.output.dense.kernel", Role::Down);
        // as Meta spells Llama
        top("tok_embeddings.weight", Role::Embedding);
        top("output.weight", Role::LmHead);
        in(2, "layers.2.attention.wq.weight", Role::Query, "2.attn.qkv");
        in(2, "layers.2.attention.wo.weight", Role::Output);
        in(2, "layers.2.feed_forward.w1.weight", Role::Gate, "2.mlp.gate_up");
        in(2, "layers.2.feed_forward.w3.weight", Role::Up, "2.mlp.gate_up");
        in(2, "layers.2.feed_forward.w2.weight", Role::Down);
        in(2, "layers.2.ffn_norm.weight", Role::Norm);
        // Qwen 1: w1 is up, w2 is gate
        in(0, "transformer.h.0.attn.c_attn.weight", Role::QueryKeyValue);
        in(0, "transformer.h.0.mlp.w1.weight", Role::Up, "0.mlp.gate_up");
        in(0, "transformer.h.0.mlp.w2.weight", Role::Gate, "0.mlp.gate_up");
        in(0, "transformer.h.0.mlp.c_proj.weight", Role::Down);
        // Phi 1 to 3
        in(5, "model.layers.5.self_attn.dense.weight", Role::Output);
        in(5, "model.layers.5.mlp.fc1.weight", Role::Up);
        in(5, "model.layers.5.mlp.fc2.weight", Role::Down);
        in(5, "model.layers.5.self_attn.qkv_proj.weight", Role::QueryKeyValue);
        in(5, "model.layers.5.mlp.gate_up_proj.weight", Role::GateUp);
        top("model.final_layernorm.weight", Role::Norm);
        top("transformer.embd.wte.weight", Role::Embedding);
        top("lm_head.linear.weight", Role::LmHead);
        in(1, "layers.1.mixer.Wqkv.weight", Role::QueryKeyValue);
        in(1, "layers.1.mixer.out_proj.weight", Role::Output);
        // GPT-2
        top("wte.weight", Role::Embedding);
        top("transformer.wpe.weight", Role::Position);
        top("transformer.ln_f.bias", Role::Bias);
        top("ln_f.weight", Role::Norm);
        in(11, "h.11.ln_1.weight", Role::Norm);
        in(11, "transformer.h.11.attn.c_attn.weight", Role::QueryKeyValue);
        in(11, "transformer.h.11.attn.c_proj.weight", Role::Output);
        in(11, "transformer.h.11.mlp.c_fc.weight", Role::Up);
        in(11, "transformer.h.11.mlp.c_fc.bias", Role::Bias);
        // Falcon
        top("transformer.word_embeddings.weight", Role::Embedding);
        in(7, "transformer.h.7.self_attention.query_key_value.weight", Role::QueryKeyValue);
        in(7, "transformer.h.7.self_attention.dense.weight", Role::Output);
        in(7, "transformer.h.7.mlp.dense_h_to_4h.weight", Role::Up);
        in(7, "transformer.h.7.mlp.dense_4h_to_h.weight", Role::Down);
        in(7, "transformer.h.7.ln_attn.weight", Role::Norm);
        // Mixtral
        in(4, "model.layers.4.block_sparse_moe.gate.weight", Role::Router);
        row("model.layers.4.block_sparse_moe.experts.7.w1.weight",
            {.role = Role::Gate, .block = 4U, .expert = 7U, .fusedGroup = "4.mlp.experts.7.gate_up"});
        row("model.layers.4.block_sparse_moe.experts.7.w2.weight", {.role = Role::Down, .block = 4U, .expert = 7U});
        row("model.layers.4.block_sparse_moe.experts.7.w3.weight",
            {.role = Role::Up, .block = 4U, .expert = 7U, .fusedGroup = "4.mlp.experts.7.gate_up"});
        // Qwen-MoE and DeepSeek
        in(9, "model.layers.9.mlp.gate.weight", Role::Router);
        row("model.layers.9.mlp.experts.63.gate_proj.weight",
            {.role = Role::Gate, .block = 9U, .expert = 63U, .fusedGroup = "9.mlp.experts.63.gate_up"});
        row("model.layers.9.mlp.shared_expert.up_proj.weight",
            {.role = Role::Up, .block = 9U, .sharedExpert = true, .fusedGroup = "9.mlp.shared_expert.gate_up"});
        row("model.layers.9.mlp.shared_experts.down_proj.weight",
            {.role = Role::Down, .block = 9U, .sharedExpert = true});
        row("model.layers.9.mlp.shared_expert_gate.weight", {.role = Role::Router, .block = 9U, .sharedExpert = true});
        in(9, "model.layers.9.mlp.gate.e_score_correction_bias", Role::Bias);
        in(9, "model.layers.9.self_attn.q_a_proj.weight", Role::Query, "9.attn.qkv_a");
        in(9, "model.layers.9.self_attn.kv_a_proj_with_mqa.weight", Role::QueryKeyValue, "9.attn.qkv_a");
        in(9, "model.layers.9.self_attn.q_b_proj.weight", Role::Query);
        in(9, "model.layers.9.self_attn.kv_b_proj.weight", Role::QueryKeyValue);
        in(9, "model.layers.9.self_attn.kv_a_layernorm.weight", Role::Norm);
        // gpt-oss: stacks without ".weight"
        row("model.layers.2.mlp.experts.gate_up_proj", {.role = Role::GateUp, .block = 2U, .expertStack = true});
        row("model.layers.2.mlp.experts.down_proj_blocks", {.role = Role::Down, .block = 2U, .expertStack = true});
        in(2, "model.layers.2.mlp.experts.down_proj_scales", Role::Other);
        in(2, "model.layers.2.mlp.experts.down_proj_bias", Role::Bias);
        in(2, "model.layers.2.mlp.router.weight", Role::Router);
        // BERT, OLMo and packed weights
        in(6, "bert.encoder.layer.6.attention.self.query.weight", Role::Query, "bert.encoder.6.attn.qkv");
        in(6, "encoder.layer.6.attention.output.dense.weight", Role::Output);
        in(6, "encoder.layer.6.intermediate.dense.weight", Role::Up);
        in(6, "encoder.layer.6.output.dense.weight", Role::Down);
        in(0, "model.transformer.blocks.0.ff_out.weight", Role::Down);
        top("model.transformer.ff_out.weight", Role::LmHead);
        in(0, "model.layers.0.self_attn.q_proj.qweight", Role::Query, "0.attn.qkv");
        in(0, "model.layers.0.self_attn.q_proj.scales", Role::Other);
        // towers beside the language model
        row("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
            {.role = Role::Query, .fusedGroup = "vision_tower.vision_model.encoder.0.attn.qkv"});
        row("model.visual.blocks.3.mlp.up_proj.weight", {.role = Role::Up, .fusedGroup = "visual.3.mlp.gate_up"});
        // nothing known
        top("conv1.weight", Role::Other);
        top("lstm_cell.bias_ih", Role::Bias);
        top("weight", Role::Other);
        top("", Role::Other);
        top(".", Role::Other);
        top("layers", Role::Other);
        in(0, "layers.0", Role::Other);
        top("model.layers.4294967296.mlp.gate_proj.weight", Role::Gate);

        // GGUF
        top("token_embd.weight", Role::Embedding);
        top("position_embd.weight", Role::Position);
        top("output_norm.weight", Role::Norm);
        top("output_norm.bias", Role::Bias);
        top("rope_freqs.weight", Role::Other);
        in(0, "blk.0.attn_norm.weight", Role::Norm);
        in(0, "blk.0.attn_q.weight", Role::Query, "0.attn.qkv");
        in(0, "blk.0.attn_k.weight", Role::Key, "0.attn.qkv");
        in(0, "blk.0.attn_v.weight", Role::Value, "0.attn.qkv");
        in(0, "blk.0.attn_q.bias", Role::Bias);
        in(0, "blk.0.attn_q_norm.weight", Role::Norm);
        in(0, "blk.0.attn_qkv.weight", Role::QueryKeyValue);
        in(79, "blk.79.attn_output.weight", Role::Output);
        in(79, "blk.79.ffn_gate.weight", Role::Gate, "79.mlp.gate_up");
        in(79, "blk.79.ffn_up.weight", Role::Up, "79.mlp.gate_up");
        in(79, "blk.79.ffn_down.weight", Role::Down);
        in(79, "blk.79.post_ffw_norm.weight", Role::Norm);
        in(2, "blk.2.ffn_gate_inp.weight", Role::Router);
        row("blk.2.ffn_gate_exps.weight",
            {.role = Role::Gate, .block = 2U, .expertStack = true, .fusedGroup = "2.mlp.experts.gate_up"});
        row("blk.2.ffn_down_exps.weight", {.role = Role::Down, .block = 2U, .expertStack = true});
        row("blk.2.ffn_gate_up_exps.weight", {.role = Role::GateUp, .block = 2U, .expertStack = true});
        row("blk.2.ffn_up_shexp.weight",
            {.role = Role::Up, .block = 2U, .sharedExpert = true, .fusedGroup = "2.mlp.shared_expert.gate_up"});
        row("blk.2.ffn_gate_inp_shexp.weight", {.role = Role::Router, .block = 2U, .sharedExpert = true});
        row("blk.2.ffn_gate.5.weight",
            {.role = Role::Gate, .block = 2U, .expert = 5U, .fusedGroup = "2.mlp.experts.5.gate_up"});
        in(2, "blk.2.exp_probs_b.bias", Role::Bias);
        in(2, "blk.2.attn_q_a.weight", Role::Query, "2.attn.qkv_a");
        in(2, "blk.2.attn_kv_a_mqa.weight", Role::QueryKeyValue, "2.attn.qkv_a");
        in(2, "blk.2.attn_kv_b.weight", Role::QueryKeyValue);
        in(2, "blk.2.attn_k_b.weight", Role::Key);
        in(2, "blk.2.attn_q_a_norm.weight", Role::Norm);
        in(2, "blk.2.attn_sinks.weight", Role::Other);
        in(1, "enc.blk.1.attn_q.weight", Role::Query, "enc.1.attn.qkv");
        in(1, "dec.blk.1.cross_attn_k.weight", Role::Key, "dec.1.cross_attn.qkv");
        row("v.blk.1.attn_q.weight", {.role = Role::Query, .fusedGroup = "v.1.attn.qkv"});
        top("blk.x.attn_q.weight", Role::Other);
    }

    void readsNames()
    {
        QFETCH(const NameParts, parts);
        const auto read = readName(QTest::currentDataTag());
        QCOMPARE(nameOf(read.role), nameOf(parts.role));
        QVERIFY(read.block == parts.block);
        QVERIFY(read.expert == parts.expert);
        QCOMPARE(read.fusedGroup, parts.fusedGroup);
        QVERIFY(read == parts);
    }

    void ggufNames_data()
    {
        QTest::addColumn<QByteArray>("architecture");
        QTest::addColumn<QByteArray>("gguf");  // empty: none
        const auto row = [](const char* name, const char* architecture, const char* gguf) {
            QTest::addRow("%s of %s", name, architecture) << QByteArray(architecture) << QByteArray(gguf);
        };
        row("model.embed_tokens.weight", "llama", "token_embd.weight");
        row("lm_head.weight", "llama", "output.weight");
        row("model.norm.weight", "llama", "output_norm.weight");
        row("model.layers.0.input_layernorm.weight", "llama", "blk.0.attn_norm.weight");
        row("model.layers.0.self_attn.q_proj.weight", "llama", "blk.0.attn_q.weight");
        row("model.layers.0.self_attn.o_proj.weight", "mistral", "blk.0.attn_output.weight");
        row("model.layers.0.post_attention_layernorm.weight", "llama", "blk.0.ffn_norm.weight");
        row("model.layers.0.post_attention_layernorm.weight", "gemma", "blk.0.ffn_norm.weight");
        row("model.layers.0.post_attention_layernorm.weight", "gemma2", "blk.0.post_attention_norm.weight");
        row("model.layers.0.post_attention_layernorm.weight", "gemma3_text", "blk.0.post_attention_norm.weight");
        row("model.layers.0.pre_feedforward_layernorm.weight", "gemma2", "blk.0.ffn_norm.weight");
        row("model.layers.0.post_feedforward_layernorm.weight", "gemma2", "blk.0.post_ffw_norm.weight");
        row("model.language_model.layers.5.mlp.down_proj.weight", "gemma3", "blk.5.ffn_down.weight");
        row("model.layers.12.self_attn.k_proj.bias", "qwen2", "blk.12.attn_k.bias");
        row("model.layers.12.self_attn.q_norm.weight", "qwen3", "blk.12.attn_q_norm.weight");
        row("model.layers.1.self_attn.qkv_proj.weight", "phi3", "blk.1.attn_qkv.weight");
        row("model.layers.1.mlp.gate_up_proj.weight", "phi3", "blk.1.ffn_up.weight");
        row("model.layers.1.self_attn.dense.weight", "phi", "blk.1.attn_output.weight");
        row("model.layers.1.mlp.fc1.weight", "phi", "blk.1.ffn_up.weight");
        row("model.final_layernorm.bias", "phi", "output_norm.bias");
        row("transformer.h.0.attn.c_attn.weight", "gpt2", "blk.0.attn_qkv.weight");
        row("h.0.mlp.c_proj.bias", "gpt2", "blk.0.ffn_down.bias");
        row("wpe.weight", "gpt2", "position_embd.weight");
        row("transformer.ln_f.weight", "gpt2", "output_norm.weight");
        row("transformer.word_embeddings.weight", "falcon", "token_embd.weight");
        row("transformer.h.3.self_attention.query_key_value.weight", "falcon", "blk.3.attn_qkv.weight");
        row("transformer.h.3.mlp.dense_4h_to_h.weight", "falcon", "blk.3.ffn_down.weight");
        row("transformer.h.3.ln_mlp.weight", "falcon", "blk.3.attn_norm.weight");
        row("transformer.h.3.ln_attn.weight", "falcon", "blk.3.attn_norm_2.weight");
        row("transformer.h.0.mlp.w2.weight", "qwen", "blk.0.ffn_gate.weight");
        row("model.layers.2.block_sparse_moe.gate.weight", "mixtral", "blk.2.ffn_gate_inp.weight");
        row("model.layers.2.block_sparse_moe.experts.3.w1.weight", "mixtral", "blk.2.ffn_gate_exps.weight");
        row("model.layers.2.block_sparse_moe.experts.3.w2.weight", "mixtral", "blk.2.ffn_down_exps.weight");
        row("model.layers.2.block_sparse_moe.experts.7.w3.weight", "mixtral", "blk.2.ffn_up_exps.weight");
        row("model.layers.2.mlp.experts.9.up_proj.weight", "qwen2_moe", "blk.2.ffn_up_exps.weight");
        row("model.layers.2.mlp.shared_expert.up_proj.weight", "qwen2_moe", "blk.2.ffn_up_shexp.weight");
        row("model.layers.2.mlp.shared_expert_gate.weight", "qwen2_moe", "blk.2.ffn_gate_inp_shexp.weight");
        row("model.layers.2.mlp.gate.e_score_correction_bias", "deepseek_v3", "blk.2.exp_probs_b.bias");
        row("model.layers.2.self_attn.kv_a_proj_with_mqa.weight", "deepseek_v3", "blk.2.attn_kv_a_mqa.weight");
        row("model.layers.2.self_attn.kv_a_layernorm.weight", "deepseek_v3", "blk.2.attn_kv_a_norm.weight");
        row("layers.0.attention.wv.weight", "llama", "blk.0.attn_v.weight");
        row("blk.0.attn_q.weight", "llama", "blk.0.attn_q.weight");
        row("model.layers.0.self_attn.rotary_emb.inv_freq", "llama", "");
        row("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", "llava", "");
        row("model.layers.x.mlp.up_proj.weight", "llama", "");
        row("weight", "llama", "");
        row("", "llama", "");
    }

    void ggufNames()
    {
        QFETCH(const QByteArray, architecture);
        QFETCH(const QByteArray, gguf);
        const std::string tag = QTest::currentDataTag();
        const auto name = tag.substr(0, tag.rfind(" of "));
        const auto mapped = ggufName(name, architecture.toStdString());
        QCOMPARE(QByteArray::fromStdString(mapped.value_or("")), gguf);
        if (!mapped)
            return;
        // Both worlds must agree on what the tensor does.
        const auto here = readName(name), there = readName(*mapped);
        QCOMPARE(here.block == there.block, true);
        if (!name.ends_with("gate_up_proj.weight"))  // fused where GGUF has but the name of "up"
            QCOMPARE(nameOf(here.role), nameOf(there.role));
    }

    void roleNames()
    {
        QCOMPARE(nameOf(TensorRole::Embedding), std::string_view("embedding"));
        QCOMPARE(nameOf(TensorRole::LmHead), std::string_view("lm_head"));
        QCOMPARE(nameOf(TensorRole::GateUp), std::string_view("gate_up"));
        QCOMPARE(nameOf(TensorRole::Other), std::string_view("other"));
    }
};

QTEST_APPLESS_MAIN(TestTensorRole)
#include "tst_tensor_role.moc"
