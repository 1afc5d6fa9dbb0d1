import time
def test_smoke(tiny_model_folder, tiny_bpe_model_folder):
    import shutil
    from cdlm import Pipeline
    for n,f in (("w",tiny_model_folder), ("b",tiny_bpe_model_folder)):
        shutil.copytree(f, f"/tmp/tinym/{n}", dirs_exist_ok=True)
        p=Pipeline.from_pretrained(f)
        print(len(p.tokenizer), p.tokenizer.tokens(range(len(p.tokenizer))), p.model.config.piece_counts, (f/'training.json').read_text())
        t=time.time(); o=p.generate(12, num_inference_steps=12); print(time.time()-t)
        for w in o: print(w.text, round(w.surprise,2))
